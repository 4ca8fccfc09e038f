"""The figures of docs/validation.md.

    python -m bench.validation [--published PATH] [FIGURE ...]   # all: 4 to 8 minutes on two cores

Measures everything anew and writes docs/figures/FIGURE.svg, one or more of omega, amplification,
dependency, dependency_maps, gradients and histograms. PATH is a published two-column omega file;
without it the figure of omega has no panel of deviations. Omega is the paper's model of 100 + 100
layers and takes most of the time; all others are of width 64 or 128.
"""

import argparse
import time
from functools import cache
from pathlib import Path

from admin_core.report import GradientsSection
from bench.figures import amplification, dependency, gradients, omega
from bench.figures.look import Chart, svg

FOLDER = Path(__file__).parent.parent / "docs" / "figures"


@cache
def _gradients() -> dict[str, list[GradientsSection]]:
    """Two figures show the same passes."""
    return gradients.measure()


def draw(name: str, published: Path | None) -> Chart:
    """The figure of that name, measured anew."""
    match name:
        case "omega":
            return omega.chart(*omega.measure(published))
        case "amplification":
            return amplification.chart(amplification.measure())
        case "dependency":
            return dependency.lines_chart(dependency.measure_lines())
        case "dependency_maps":
            return dependency.maps_chart(dependency.measure_maps())
        case "gradients":
            return gradients.norms_chart(_gradients())
        case "histograms":
            return gradients.histogram_chart(_gradients())
        case _:
            raise ValueError(f"There is no figure {name!r}; there are {', '.join(FIGURES)}.")


FIGURES = (
    "dependency",
    "dependency_maps",
    "gradients",
    "histograms",
    "amplification",
    "omega",
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the figures of docs/validation.md.")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--published", type=Path, metavar="PATH", help="a two-column omega file")
    asked = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for name in asked.figures or FIGURES:
        start = time.perf_counter()
        drawn = svg(draw(name, asked.published))
        (FOLDER / f"{name}.svg").write_text(drawn)
        print(
            f"{name}: {len(drawn) / 1000:.0f} kB, {time.perf_counter() - start:.0f} s", flush=True
        )


if __name__ == "__main__":
    main()

"""How the deviation from a published omega file scatters from one draw of the weights to another.

    python -m bench.published_scatter PATH     # five minutes on two cores

The paper's model of `bench.published_omegas`, fresh with each of the seeds 0 to 6; then the same
passes averaged three at a time, in every way that three of the seven can be chosen, as
`"omega": {"seeds": 3}` averages three seeds. The table stands in docs/omega.md.
"""

import sys
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from statistics import mean, median

from admin_core.diagnosis import diagnose_spec
from admin_core.omega_files import read_clinic
from bench.published_omegas import AVERAGE, LARGEST, paper_spec

SEEDS = range(7)


def main() -> None:
    passes: list[list[float]] = []
    published: list[float] = []
    for seed in SEEDS:
        report = diagnose_spec(paper_spec(seed=seed, seeds=1))
        published = read_clinic(Path(sys.argv[1]).read_text(), report.branches)
        passes.append([branch.omega or 0.0 for branch in report.branches])
        off = _deviations([passes[-1]], published)
        worst = report.branches[off.index(max(off))]
        print(
            f"seed {seed}: mean {mean(off):.2%}, largest {max(off):.2%} "
            f"at {worst.path}, i = {worst.index}",
            flush=True,
        )
    print("| models averaged | mean, typical | worst | largest, typical | worst | within both |")
    print("| --- | --- | --- | --- | --- | --- |")
    for count in (1, 3):
        found = [_deviations(chosen, published) for chosen in combinations(passes, count)]
        means, largest = [mean(row) for row in found], [max(row) for row in found]
        within = sum(a <= AVERAGE and b <= LARGEST for a, b in zip(means, largest, strict=True))
        print(
            f"| {count} | {median(means):.1%} | {max(means):.1%} | {median(largest):.1%} "
            f"| {max(largest):.1%} | {within} of {len(found)} |"
        )


def _deviations(passes: Iterable[list[float]], published: list[float]) -> list[float]:
    """|omega / published - 1| of omegas that are averaged by their squares."""
    return [
        abs(mean(omega**2 for omega in of_place) ** 0.5 / expected - 1)
        for of_place, expected in zip(zip(*passes, strict=True), published, strict=True)
    ]


if __name__ == "__main__":
    main()

"""Draws what is heavy to draw, for a server that should stay light.

    python -m admin_core.report_files diagnosis html --title TITLE
    python -m admin_core.report_files race svg --theme dark    all figures, as JSON by name
    python -m admin_core.report_files race png --figure curves

Standard input is {"report": ..., "request": ...}; the answer is on standard output.
"""

import argparse
import json
import sys

from admin_core.figures.of_report import figures
from admin_core.figures.theme import Theme
from admin_core.race_report import RaceReport
from admin_core.report import Report
from admin_core.report_files.about import About

KINDS: dict[str, type[Report] | type[RaceReport]] = {"diagnosis": Report, "race": RaceReport}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m admin_core.report_files",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("wanted", choices=("html", "svg", "png"))
    parser.add_argument("--title", default="Report")
    parser.add_argument("--theme", type=Theme, choices=list(Theme), default=Theme.LIGHT)
    parser.add_argument("--figure", help="of a png")
    asked = parser.parse_args()
    given = json.load(sys.stdin)
    report = KINDS[asked.kind].model_validate(given["report"])
    sys.stdout.buffer.write(_drawn(asked, report, given["request"]))


def _drawn(
    asked: argparse.Namespace, report: Report | RaceReport, request: dict[str, object] | None
) -> bytes:
    # Here, so that --help is quick.
    from admin_core.figures.rendering import png, svg
    from admin_core.report_files.html import html

    if asked.wanted == "html":
        return html(report, About(title=asked.title, request=request)).encode()
    if asked.wanted == "svg":
        drawn = {figure.name: svg(figure, asked.theme) for figure in figures(report)}
        return json.dumps(drawn).encode()
    figure = next(figure for figure in figures(report) if figure.name == asked.figure)
    return png(figure, asked.theme)


if __name__ == "__main__":
    main()

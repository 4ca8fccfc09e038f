"""Draws what is heavy to draw, for a server that should stay light.

    python -m admin_core.report_files diagnosis html --title TITLE
    python -m admin_core.report_files race svg --theme dark    all figures, as JSON by name
    python -m admin_core.report_files race png --figure curves
    python -m admin_core.report_files comparison svg

Standard input is {"report": ..., "request": ...}, or of a comparison {"reports": {LABEL: {"kind":
..., "report": ...}, ...}}; the answer is on standard output.
"""

import argparse
import json
import sys

from admin_core.figures.comparison import comparison
from admin_core.figures.figure import Figure
from admin_core.figures.of_report import figures
from admin_core.figures.theme import Layout, Theme
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
    parser.add_argument("kind", choices=[*KINDS, "comparison"])
    parser.add_argument("wanted", choices=("html", "svg", "png"))
    parser.add_argument("--title", default="Report")
    parser.add_argument("--theme", type=Theme, choices=list(Theme), default=Theme.LIGHT)
    parser.add_argument("--layout", type=Layout, choices=list(Layout), default=Layout.WIDE)
    parser.add_argument("--figure", help="of a png")
    asked = parser.parse_args()
    given = json.load(sys.stdin)
    if asked.kind == "comparison":
        reports = {
            label: KINDS[each["kind"]].model_validate(each["report"])
            for label, each in given["reports"].items()
        }
        answer = _drawn(asked, comparison(reports))
    elif asked.wanted == "html":
        from admin_core.report_files.html import html  # here, so that --help is quick

        report = KINDS[asked.kind].model_validate(given["report"])
        answer = html(report, About(title=asked.title, request=given["request"])).encode()
    else:
        answer = _drawn(asked, figures(KINDS[asked.kind].model_validate(given["report"])))
    sys.stdout.buffer.write(answer)


def _drawn(asked: argparse.Namespace, declared: list[Figure]) -> bytes:
    from admin_core.figures.rendering import png, svg

    if asked.wanted == "svg":
        drawn = {figure.name: svg(figure, asked.theme, asked.layout) for figure in declared}
        return json.dumps(drawn).encode()
    return png(next(figure for figure in declared if figure.name == asked.figure), asked.theme)


if __name__ == "__main__":
    main()

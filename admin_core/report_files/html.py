"""A report as one HTML file that needs no network and runs no script: figures are inline SVG.

Everything is escaped by the template engine unless it is an SVG that this package has drawn.
"""

import json

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from admin_core.figures.of_report import figures
from admin_core.figures.rendering import svg
from admin_core.figures.theme import Theme
from admin_core.race_report import RaceReport
from admin_core.report import Report
from admin_core.report_files import tables
from admin_core.report_files.about import About
from admin_core.report_files.footing import footing
from admin_core.report_files.security import STYLE, content_security_policy
from admin_core.report_files.tables import Table

MOST_SUBLAYERS = 2_000

_templates = Environment(
    loader=PackageLoader("admin_core.report_files"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def html(report: Report | RaceReport, about: About) -> str:
    """The whole page: verdict or conclusion, tables, figures with their captions."""
    folded: list[Table] = []
    if isinstance(report, Report):
        verdict = report.verdict
        headline = None if verdict is None else tables.headline(verdict)
        grade = None if verdict is None else verdict.outcome.value
        summary = None
        shown = []
        if verdict is not None:
            shown += [tables.reasons(verdict), *tables.beside_the_reasons(verdict)]
        shown += tables.network(report)
        if report.amplification is not None:
            shown.append(tables.growth(report.amplification))
        checks = tables.rules(report)
        if checks is not None:
            folded.append(checks)
        if report.branches:
            folded.append(tables.sublayers(report.branches, most=MOST_SUBLAYERS))
    else:
        headline, grade, summary = None, None, report.conclusion
        shown = [tables.arms(report)]
    page: str = _templates.get_template("report.html").render(
        title=about.title,
        headline=headline,
        grade=grade,
        summary=summary,
        tables=shown,
        folded=folded,
        figures=[
            (figure, Markup(svg(figure, Theme.PAGE)))  # noqa: S704 - drawn here, escaped by Vega
            for figure in figures(report)
        ],
        rules={} if isinstance(report, Report) else report.rules,
        request=None if about.request is None else json.dumps(about.request, indent=2),
        footing=footing(report),
        style=Markup(STYLE),  # noqa: S704 - a constant
        policy=content_security_policy(),
    )
    return page

"""One door to all report files."""

from enum import StrEnum

from admin_core.errors import AdminCoreError
from admin_core.race_report import RaceReport
from admin_core.report import Outcome, Report
from admin_core.report_files.about import About
from admin_core.report_files.junit import junit
from admin_core.report_files.markdown import markdown


class ReportFormat(StrEnum):
    HTML = "html"
    MARKDOWN = "md"
    JSON = "json"
    JUNIT = "junit"
    """Of diagnoses only."""


class NoJUnitError(AdminCoreError):
    """JUnit XML was asked for of a race, which has no rules to pass."""

    def __str__(self) -> str:
        return (
            "A race has no rules that pass or fail, so that there is no JUnit XML of it. Take "
            "html, md or json."
        )


def report_file(
    report: Report | RaceReport,
    file_format: ReportFormat,
    about: About,
    *,
    fail_on: Outcome = Outcome.UNSTABLE,
) -> str:
    """The report as the text of a file.

    Args:
        fail_on: for JUnit, the mildest outcome that fails.

    Raises:
        NoJUnitError: JUnit XML of a race.
    """
    match file_format:
        case ReportFormat.HTML:
            # Here, as what draws its figures is heavy.
            from admin_core.report_files.html import html

            return html(report, about)
        case ReportFormat.MARKDOWN:
            return markdown(report, about)
        case ReportFormat.JSON:
            return report.model_dump_json(indent=2) + "\n"
        case ReportFormat.JUNIT:
            if isinstance(report, RaceReport):
                raise NoJUnitError
            return junit(report, about, fail_on=fail_on)

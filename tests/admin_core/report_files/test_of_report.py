import json

import pytest

from admin_core.race_report import RaceReport
from admin_core.report import Report
from admin_core.report_files.about import About
from admin_core.report_files.of_report import NoJUnitError, ReportFormat, report_file
from tests.admin_core.reports import diagnosis, raced

ABOUT = About(title="A model")


def test_json_is_the_report() -> None:
    text = report_file(diagnosis(), ReportFormat.JSON, ABOUT)
    assert Report.model_validate_json(text) == diagnosis()
    assert RaceReport.model_validate_json(report_file(raced(), ReportFormat.JSON, ABOUT)) == raced()


def test_a_race_has_no_junit() -> None:
    with pytest.raises(NoJUnitError, match="Take html, md or json"):
        report_file(raced(), ReportFormat.JUNIT, ABOUT)


@pytest.mark.parametrize("file_format", list(ReportFormat))
def test_the_same_report_gives_the_same_file(file_format: ReportFormat) -> None:
    once, again = (report_file(diagnosis(), file_format, ABOUT) for _ in range(2))
    assert once == again
    if file_format is ReportFormat.JSON:
        assert json.loads(once)

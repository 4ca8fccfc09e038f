"""Where `trimtab report` takes a report from: a file, or a job of a running service."""

import re
from typing import Any

import httpx
from pydantic import ValidationError

from admin_core.race_report import RaceReport
from admin_core.report import Report
from admin_core.report_files.about import About
from admin_core.report_files.of_report import NoJUnitError, ReportFormat
from app.client import LONG_POLL_SECONDS, ServiceError

JOB_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

PATHS = {
    ReportFormat.HTML: "report.html",
    ReportFormat.MARKDOWN: "report.md",
    ReportFormat.JSON: "report.json",
    ReportFormat.JUNIT: "junit.xml",
}


class NoReportError(ValueError):
    """What was given is neither a report nor a job that has one; says what was expected."""


def parse_report(body: Any, *, name: str) -> tuple[Report | RaceReport, About]:
    """The report in a report, as `--json` prints it, or in a job, as the service answers.

    Args:
        name: of where it comes from.

    Raises:
        NoReportError: it is in neither.
    """
    about = About(title=f"Trimtab report of {name}")
    if isinstance(body, dict) and {"kind", "report", "spec"} <= body.keys():
        about = About(title=f"Trimtab {body['kind']} {body.get('id', name)}", request=body["spec"])
        body = body["report"]
    form = RaceReport if isinstance(body, dict) and "arms" in body else Report
    try:
        return form.model_validate(body), about
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise NoReportError(
            f"{name} holds no report of this version ({where}: {first['msg']}). Expected is what "
            "trimtab diagnose --json or trimtab race --json prints, or a job of the service."
        ) from None


def fetch_report(url: str, job_id: str, file_format: ReportFormat) -> bytes:
    """The file as the service has it, of a diagnosis or a race.

    Raises:
        NoReportError: there is no such job, or it has no report (yet).
        NoJUnitError: JUnit XML of a race.
        ServiceError: nobody answers at `url`, or not as the service does.
    """
    try:
        with httpx.Client(base_url=url, timeout=LONG_POLL_SECONDS + 10) as client:
            answer = client.get(f"/v1/diagnoses/{job_id}/{PATHS[file_format]}")
            if answer.status_code == 404:
                race = f"/v1/races/{job_id}"
                if file_format is ReportFormat.JUNIT:
                    if client.get(race).status_code == 200:
                        raise NoJUnitError
                else:
                    answer = client.get(f"{race}/{PATHS[file_format]}")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceError(
            f"No answer from {url} ({error}). Start the service with trimtab serve, or name "
            "another with --url."
        ) from None
    if answer.status_code == 200:
        return answer.content
    if answer.status_code == 404:
        raise NoReportError(f"{url} has no diagnosis and no race {job_id}.")
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = f"status {answer.status_code}"
    raise ServiceError(f"{url} has no such file of {job_id}: {detail}")

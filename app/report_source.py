"""What a file that `trimtab report` or `compare` reads may hold: a report, or a job with one."""

import re
from typing import Any

from pydantic import ValidationError

from admin_core.race_report import RaceReport
from admin_core.report import Report
from admin_core.report_files.about import About

JOB_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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

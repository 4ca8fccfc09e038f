"""`trimtab report`: reports as files."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.commands.ending import Exit, client_errors, leave
from app.commands.options import LOCAL_SERVICE, Url
from app.commands.reading import read_json


class ReportOption(StrEnum):
    """What a report can be written as."""

    HTML = "html"
    MD = "md"
    JSON = "json"
    JUNIT = "junit"


def report(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|ID|-", help="A report or job as JSON, or the id of a service's job."
        ),
    ],
    file_format: Annotated[
        ReportOption, typer.Option("--format", help="junit is of diagnoses only.")
    ] = ReportOption.MD,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Standard output unless given.")
    ] = None,
    url: Url = LOCAL_SERVICE,
) -> None:
    """Write a report as a file for people, for a pull request or for a CI system."""
    from admin_core.report_files.of_report import NoJUnitError, ReportFormat, report_file
    from app.client import Trimtab
    from app.report_source import JOB_ID, NoReportError, parse_report

    wanted = ReportFormat.JSON if as_json else ReportFormat(file_format)
    try:
        if JOB_ID.fullmatch(source) and not Path(source).exists():
            with client_errors(), Trimtab(url) as trimtab:
                job = trimtab.job(source)
                if wanted is ReportFormat.JUNIT and job.kind == "race":
                    raise NoJUnitError
                content = trimtab.report_file(job, wanted.value)
        else:
            name, body = read_json(source)
            found, about = parse_report(body, name=name)
            content = report_file(found, wanted, about).encode()
    except (NoReportError, NoJUnitError) as error:
        leave(Exit.BAD_INPUT, str(error))
    if output is None:
        sys.stdout.buffer.write(content)
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        leave(Exit.BAD_INPUT, f"{output} cannot be written: {error.strerror}.")

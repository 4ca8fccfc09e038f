"""What commands print of a finished job, and the exit code that it gives."""

import json
import sys
from typing import TYPE_CHECKING

import typer

from app.commands.ending import Exit

if TYPE_CHECKING:
    from admin_core.report import Report
    from app.client import Job


def show_result(job: "Job", *, as_json: bool) -> None:
    """Print what came of a finished job; leaves the program if its verdict fails.

    Raises:
        JobFailedError: nothing came of it.
    """
    if as_json:
        typer.echo(json.dumps(job.json, indent=2))
    result = job.result()

    from admin_core.race_report import RaceReport
    from admin_core.report import Report

    if isinstance(result, Report):
        show_report(result, as_json=as_json)
    elif not as_json and isinstance(result, RaceReport):
        from app.race_terminal import print_race

        print_race(result)
    elif not as_json:
        typer.echo(json.dumps(job.json["report"], indent=2))


def show_report(report: "Report", *, as_json: bool) -> None:
    """Print a diagnosis for people, unless it was printed as JSON; leaves the program with exit
    code 1 if its verdict is unstable."""
    from admin_core.report import Outcome

    if not as_json:
        from app.terminal import print_report

        print_report(report)
    if report.verdict is not None and report.verdict.outcome is Outcome.UNSTABLE:
        sys.exit(Exit.FAILING_VERDICT)

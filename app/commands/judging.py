"""`trimtab gate` and `verify`: what CI asks of a running service."""

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from app.commands.ending import Exit, client_errors
from app.commands.options import LOCAL_SERVICE, AsJson, SpecFile, Url
from app.commands.reading import DIAGNOSIS, read_spec


class FailOn(StrEnum):
    """The mildest outcome that fails."""

    AT_RISK = "at_risk"
    UNSTABLE = "unstable"


def gate(
    file: SpecFile,
    url: Url = LOCAL_SERVICE,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(help="The mildest outcome that fails; unstable if nothing else is given."),
    ] = None,
    max_failure_probability: Annotated[
        float | None, typer.Option(min=0, max=1, help="The highest that passes.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Id of an earlier diagnosis; only what is worse fails.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Diagnose anew, whatever was diagnosed before.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the verdict, all told.")
    ] = 600.0,
    as_json: AsJson = False,
) -> None:
    """Ask a running service for a verdict, as CI does; exit code 1 if it fails."""
    from admin_core.spec import DiagnosisSpec

    spec = read_spec(file, DiagnosisSpec, expected=DIAGNOSIS)

    from app.client import Trimtab

    with client_errors(), Trimtab(url) as trimtab:
        judgement = trimtab.gate(
            spec,
            fail_on=None if fail_on is None else fail_on.value,
            max_failure_probability=max_failure_probability,
            baseline=baseline,
            fresh=fresh,
            seconds=wait,
        )
        where = f"{trimtab.url}{judgement.json['links']['diagnosis']}"
    if as_json:
        typer.echo(json.dumps(judgement.json, indent=2))
    elif judgement.passed:
        typer.echo(f"{judgement.outcome}: passes ({where}). {judgement.detail}")
    else:
        typer.echo(f"{judgement.outcome}: fails. {judgement.detail}")
    if not judgement.passed:
        sys.exit(Exit.FAILING_VERDICT)


def verify(
    diagnosis: Annotated[str, typer.Argument(metavar="ID", help="Of a finished diagnosis.")],
    prescription: Annotated[
        int, typer.Option(min=0, help="Which of the verdict's, counted from 0.")
    ] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each arm.")] = 3,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of each run, in place of the diagnosis's.")
    ] = None,
    budget_seconds: Annotated[
        float | None, typer.Option(help="Of training in all runs together.")
    ] = None,
    url: Url = LOCAL_SERVICE,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Race anew, whatever was raced before.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the race, all told.")
    ] = 3_600.0,
    as_json: AsJson = False,
) -> None:
    """Have a running service race a diagnosed model against its prescription."""
    from app.client import Trimtab
    from app.commands.showing import show_result

    with client_errors(), Trimtab(url) as trimtab:
        race = trimtab.verify(
            diagnosis,
            prescription=prescription,
            seeds=seeds,
            steps=steps,
            budget_seconds=budget_seconds,
            fresh=fresh,
        )
        show_result(trimtab.wait(race, seconds=wait), as_json=as_json)

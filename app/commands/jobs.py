"""`trimtab submit`, `wait`, `watch`, `cancel`, `list` and `compare`: jobs of a running service."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.commands.ending import Exit, client_errors, leave
from app.commands.options import LOCAL_SERVICE, AsJson, JobId, SpecFile, Url
from app.commands.reading import read_json
from app.commands.showing import show_result

if TYPE_CHECKING:
    from admin_core.comparison import Compared
    from app.client import Job, Trimtab


class KindOption(StrEnum):
    DIAGNOSIS = "diagnosis"
    RACE = "race"
    REPORT = "report"
    RUN = "run"


class StateOption(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class OutcomeOption(StrEnum):
    STABLE = "stable"
    AT_RISK = "at_risk"
    UNSTABLE = "unstable"


def submit(
    file: SpecFile,
    url: Url = LOCAL_SERVICE,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew, whatever was asked for before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hand a diagnosis, or with `arms` a race, to a running service; prints the job's id."""
    name, spec = read_json(file)
    if not isinstance(spec, dict):
        leave(Exit.BAD_INPUT, f"{name} is no request: a JSON object was expected.")

    from app.client import Trimtab

    with client_errors(), Trimtab(url) as trimtab:
        job = trimtab.submit(spec, fresh=fresh)
        typer.echo(f"{job.kind} {job.state} at {trimtab.url}{job.links['self']}", err=True)
    typer.echo(json.dumps(job.json, indent=2) if as_json else job.id)


def wait(
    job_id: JobId,
    url: Url = LOCAL_SERVICE,
    seconds: Annotated[
        float | None,
        typer.Option(min=0, help="To wait; as long as it takes unless given."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Wait until a job is finished, and print what came of it."""
    from app.client import Trimtab

    with client_errors(), Trimtab(url) as trimtab:
        show_result(trimtab.wait(job_id, seconds=seconds), as_json=as_json)


def watch(job_id: JobId, url: Url = LOCAL_SERVICE, as_json: AsJson = False) -> None:
    """Show a job as it runs, and at last what came of it; with --json, its events line by line."""
    from app.client import Trimtab
    from app.progress_terminal import Display, live

    with client_errors(), Trimtab(url) as trimtab:
        with live(Display()) as display:
            for event in trimtab.events(job_id):
                if as_json:
                    line = {"event": event.name, "id": event.id, "data": event.data}
                    typer.echo(json.dumps(line))
                if event.name == "progress":
                    told = event.data
                    display.tell(told["stage"], told["share"], told["seconds_left"])
                for point in event.data["points"] if event.name == "points" else ():
                    # A watched run has neither arms nor seeds.
                    arm, seed = event.data.get("arm", "run"), event.data.get("seed", 0)
                    display.point(arm, seed, point["step"], point["loss"])
        if event.job is not None:
            _conclude(event.job, as_json=as_json)


def _conclude(job: "Job", *, as_json: bool) -> None:
    """What `show_result` does, but that with JSON the job was printed as the last event."""
    if not as_json:
        show_result(job, as_json=False)
        return
    from admin_core.report import Report
    from app.commands.showing import show_report

    result = job.result()
    if isinstance(result, Report):
        show_report(result, as_json=True)


def cancel(job_id: JobId, url: Url = LOCAL_SERVICE, as_json: AsJson = False) -> None:
    """Cancel a job; what runs stops within two seconds, and what is finished stays as it is."""
    from app.client import Trimtab

    with client_errors(), Trimtab(url) as trimtab:
        job = trimtab.cancel(job_id)
    said = "told to stop" if not job.finished else job.state
    typer.echo(json.dumps(job.json, indent=2) if as_json else f"{job.id}  {said}")


def list_jobs(
    kind: Annotated[KindOption | None, typer.Option(help="Of these alone.")] = None,
    state: Annotated[StateOption | None, typer.Option(help="In this state alone.")] = None,
    outcome: Annotated[OutcomeOption | None, typer.Option(help="With this verdict alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, at most.")] = 20,
    url: Url = LOCAL_SERVICE,
    as_json: AsJson = False,
) -> None:
    """Print jobs of a running service, newest first."""
    from app.client import Trimtab

    with client_errors(), Trimtab(url) as trimtab:
        found = trimtab.jobs(
            kind=None if kind is None else kind.value,
            state=None if state is None else state.value,
            outcome=None if outcome is None else outcome.value,
            limit=limit,
        )
    if as_json:
        typer.echo(json.dumps([job.json for job in found], indent=2))
        return
    for job in found:
        done = f"{job.share:.0%}" if job.state == "running" else ""
        words = [job.id, job.json["created_at"][:19], f"{job.kind:<9}", f"{job.state:<9}"]
        typer.echo("  ".join([*words, done or job.outcome or ""]).rstrip())


def compare(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="ID|FILE...", help="Jobs, or reports as JSON; two or more."),
    ],
    differences: Annotated[
        bool, typer.Option("--differences", help="Leave out what is the same in all.")
    ] = False,
    url: Url = LOCAL_SERVICE,
    as_json: AsJson = False,
) -> None:
    """Print diagnoses, or races, side by side."""
    from admin_core.comparison import ComparisonError
    from admin_core.comparison import compare as side_by_side
    from app.client import Trimtab

    with client_errors(), Trimtab(url) as trimtab:
        compared = [_compared(source, trimtab) for source in sources]
    try:
        comparison = side_by_side(compared)
    except ComparisonError as error:
        leave(Exit.BAD_INPUT, str(error))
    if differences:
        rows = [row for row in comparison.rows if row.differs]
        comparison = comparison.model_copy(update={"rows": rows})
    if as_json:
        typer.echo(comparison.model_dump_json(indent=2))
        return
    from app.comparison_terminal import print_comparison

    print_comparison(comparison)


def _compared(source: str, trimtab: "Trimtab") -> "Compared":
    """The report of a job, or in a file; leaves the program if there is none."""
    from admin_core.comparison import Compared
    from app.client import UnfinishedError
    from app.report_source import JOB_ID, NoReportError, parse_report

    body: Any
    if JOB_ID.fullmatch(source) and not Path(source).exists():
        job = trimtab.job(source)
        if not job.finished:
            raise UnfinishedError(job)
        job.result()
        name, body = source, job.json
    else:
        name, body = read_json(source)
    try:
        report, about = parse_report(body, name=name)
    except NoReportError as error:
        leave(Exit.BAD_INPUT, str(error))
    return Compared(name=Path(name).stem, report=report, request=about.request)

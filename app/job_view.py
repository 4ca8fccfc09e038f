"""A job as the API shows it."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from admin_core.progress import seconds_left
from admin_core.race_report import RaceOutcome, RaceReport
from admin_core.race_spec import RaceSpec
from admin_core.report import Outcome, Report
from admin_core.spec import DiagnosisSpec
from admin_core.spec.pushed import PushedSpec
from worker.jobs import Attempt, Ending, Job, JobName, JobSummary, State
from worker.problem import Problem
from worker.races import Run

JobKind = Literal[JobName.DIAGNOSIS, JobName.RACE, JobName.RUN, JobName.REPORT]
"""What a caller can ask for, or tell of."""


class View(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class ProgressView(View):
    stage: str | None
    """What is being done now."""
    share: float
    """How much is done, from 0 to 1."""
    seconds_left: float | None
    """How long the rest takes if it goes as what is done has gone; null while too little is done to
    tell, and for a job that does not run."""


class AttemptView(View):
    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    ending: Ending | None
    """What became of it; null while it runs."""
    detail: str | None


class JobSummaryView(View):
    """A job in a list."""

    id: str
    kind: JobKind
    state: State
    outcome: Outcome | None
    """Of a diagnosis's verdict, once there is one."""
    progress: ProgressView
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: dict[str, str]
    """Addresses on this server."""


class JobView(JobSummaryView):
    """A diagnosis, or the report of one that was made elsewhere."""

    attempts: list[AttemptView]
    spec: DiagnosisSpec | PushedSpec
    """What was asked for, with every default written out."""
    report: Report | None
    """Once it succeeded."""
    problem: Problem | None
    """Once it failed."""


class RunView(View):
    """One arm of a race with one seed."""

    arm: str
    seed: int
    state: State
    outcome: RaceOutcome | None
    """Once it succeeded."""
    share: float
    """How much is done, from 0 to 1."""
    attempts: int
    """How often it was begun."""


class RaceView(JobSummaryView):
    """A race."""

    runs: list[RunView]
    """Every arm with every seed, seed by seed."""
    attempts: list[AttemptView]
    """To conclude it, once all runs have succeeded."""
    spec: RaceSpec
    """What was asked for, with every default written out."""
    report: RaceReport | None
    """Once it succeeded."""
    problem: Problem | None
    """Once it failed."""


class JobPage(View):
    jobs: list[JobSummaryView]
    next_cursor: str | None
    """For `?cursor=`, to see older jobs; null on the last page."""


def summary_view(job: JobSummary) -> JobSummaryView:
    return JobSummaryView(**_summary(job))


def job_json(job: Job) -> dict[str, Any]:
    """What `JobView` describes. Spec and report stay as they were stored, whatever a later version
    thinks of them."""
    summary = JobSummaryView(**_summary(job)).model_dump(mode="json")
    links = summary.pop("links")
    return summary | {
        "attempts": [_attempt(attempt).model_dump(mode="json") for attempt in job.attempts],
        "spec": job.spec,
        "report": job.report,
        "problem": job.problem,
        "links": links,
    }


def race_json(job: Job, runs: list[Run]) -> dict[str, Any]:
    """What `RaceView` describes."""
    return job_json(job) | {"runs": [run_json(run) for run in runs]}


def run_json(run: Run) -> dict[str, Any]:
    """What `RunView` describes."""
    return {name: getattr(run, name) for name in RunView.model_fields}


def progress_json(job: JobSummary) -> dict[str, Any]:
    """What `ProgressView` describes."""
    running = job.running_seconds
    left = None if running is None else seconds_left(job.share, running)
    return {
        "stage": job.stage,
        "share": job.share,
        "seconds_left": None if left is None else round(left, 1),
    }


def job_path(job_id: str, kind: str = JobName.DIAGNOSIS) -> str:
    folders = {JobName.RACE: "races", JobName.RUN: "runs"}
    return f"/v1/{folders.get(JobName(kind), 'diagnoses')}/{job_id}"


def _links(job: JobSummary) -> dict[str, str]:
    path = job_path(job.id, job.kind)
    live = {"events": "events", "curves": "curves.json", "curves_csv": "curves.csv"}
    files = {"report": "report.html", "report_markdown": "report.md", "report_json": "report.json"}
    if job.kind == JobName.RUN:
        parts = {"points": "points", "finish": "finish", **live}
    elif job.kind == JobName.RACE:
        parts = {**live, **files}
    else:
        parts = {"events": "events", "gate": "gate", "omega": "omega", **files}
        parts |= {"junit": "junit.xml"}
    return {"self": path} | {name: f"{path}/{part}" for name, part in parts.items()}


def _summary(job: JobSummary) -> dict[str, Any]:
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "outcome": job.outcome,
        "progress": progress_json(job),
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
        "links": _links(job),
    }


def _attempt(attempt: Attempt) -> AttemptView:
    return AttemptView(
        number=attempt.number,
        worker=attempt.worker,
        started_at=datetime.fromtimestamp(attempt.started_at, UTC),
        ended_at=_time(attempt.ended_at),
        ending=None if attempt.ending is None else Ending(attempt.ending),
        detail=attempt.detail,
    )


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

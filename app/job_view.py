"""A job as the API shows it."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from admin_core.report import Outcome, Report
from admin_core.spec import DiagnosisSpec
from worker.jobs import Attempt, Ending, Job, JobName, JobSummary, State
from worker.problem import Problem


class View(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class ProgressView(View):
    stage: str | None
    """What is being done now."""
    share: float
    """How much is done, from 0 to 1."""


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
    kind: JobName
    state: State
    outcome: Outcome | None
    """Of the verdict, once there is one."""
    progress: ProgressView
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: dict[str, str]
    """Addresses on this server."""


class JobView(JobSummaryView):
    """A job."""

    attempts: list[AttemptView]
    spec: DiagnosisSpec
    """What was asked for, with every default written out."""
    report: Report | None
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


def job_path(job_id: str) -> str:
    return f"/v1/diagnoses/{job_id}"


def _summary(job: JobSummary) -> dict[str, Any]:
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "outcome": job.outcome,
        "progress": {"stage": job.stage, "share": job.share},
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
        "links": {
            "self": job_path(job.id),
            "gate": f"{job_path(job.id)}/gate",
            "omega": f"{job_path(job.id)}/omega",
        },
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

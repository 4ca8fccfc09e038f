"""The words of a job: its kinds, its states, and what is known of it."""

import secrets
import time
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class JobName(StrEnum):
    """What can be asked for; also the name of the task that does it."""

    DIAGNOSIS = "diagnosis"
    RACE = "race"
    """To conclude it; the work is in its runs."""
    RACE_RUN = "race_run"
    """One arm of a race with one seed."""
    RUN = "run"
    """A training loop of the caller's own, which tells where it is; there is no task."""
    REPORT = "report"
    """A diagnosis that was made elsewhere, and pushed; there is no task."""


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINISHED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
UNFINISHED = (State.QUEUED, State.RUNNING)


class Ending(StrEnum):
    """What became of an attempt."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Its worker died or stopped beating."""
    RELEASED = "released"
    """Its worker was told to shut down and gave the job back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a job. Times are seconds since 1970."""

    job_id: str
    number: int
    worker: str
    started_at: float
    ended_at: float | None
    ending: str | None
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSummary:
    """A job without its spec and report. Times are seconds since 1970."""

    id: str
    key_id: str
    """Whose it is."""
    kind: str
    state: str
    outcome: str | None
    stage: str | None
    share: float
    cancel_requested: bool
    created_at: float
    started_at: float | None
    finished_at: float | None
    running_seconds: float | None = None
    """For which the attempt that is under way has worked, or a race has run; none while there is
    none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(JobSummary):
    """Everything known of a job."""

    spec: dict[str, Any]
    report: dict[str, Any] | None
    problem: dict[str, Any] | None
    attempts: list[Attempt]


def queued_job(
    *, id: str, key_id: str, kind: JobName, spec: dict[str, Any], created_at: float
) -> Job:
    """A job that was just written down, as reading it would show it."""
    return Job(
        id=id,
        key_id=key_id,
        kind=kind,
        state=State.QUEUED,
        outcome=None,
        stage=None,
        share=0.0,
        cancel_requested=False,
        created_at=created_at,
        started_at=None,
        finished_at=None,
        spec=spec,
        report=None,
        problem=None,
        attempts=[],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to work on a job, until another attempt supersedes it."""

    job_id: str
    race_id: str | None
    """Of the race that the job is a run of."""
    number: int
    worker: str
    spec: dict[str, Any]
    request_id: str | None = None
    """Of the request that asked for it."""
    traceparent: str | None = None
    """Of the trace that the request is part of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What an attempt learns when it says that it is alive."""

    current: bool
    """Whether the attempt still holds the job; if not, it must stop and write nothing."""
    cancel_requested: bool = False
    drain_requested: bool = False


def new_id() -> str:
    """A UUID of version 7: ids sort by the time they were made."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (2**48 - 1)) << 80 | 7 << 76 | secrets.randbits(12) << 64
    value |= 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def outcome_of(report: dict[str, Any]) -> str | None:
    """A diagnosis has it in its verdict; a run is judged itself, and a race's arms one by one."""
    found: str | None = (report.get("verdict") or report).get("outcome")
    return found

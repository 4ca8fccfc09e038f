"""What the database knows of how the service is doing, as figures for a monitoring system.

Every figure is read from the tables, so that any number of API processes tell the same. The time of
a job is in histograms: how long it waited, from its submission to its first attempt, and how long
it took from there to its end.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, func, select

from worker import store as tables
from worker.celery import QUEUE_OF
from worker.jobs import FINISHED, JobName, State
from worker.jobs.runs import has_unfinished_runs
from worker.store import Store, db_now

WAIT_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0)
DURATION_SECONDS = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0)
"""Upper ends of the histograms' buckets."""


class QueueDepth(NamedTuple):
    """One queue just now."""

    queue: str
    waiting: int
    oldest_seconds: float
    """Since the job that waits the longest was submitted; 0 where none waits."""


class Times(NamedTuple):
    """How long jobs of one kind and end took."""

    labels: dict[str, str]
    buckets: list[int]
    """Jobs that took no longer than each upper end."""
    number: int
    total_seconds: float


class WorkerFigures(NamedTuple):
    """One worker at its last sign of life."""

    name: str
    silent_seconds: float
    memory_bytes: int | None


class Figures(NamedTuple):
    """All of them, at one moment."""

    jobs: dict[tuple[str, str], int]
    """By kind and state."""
    queues: list[QueueDepth]
    waits: list[Times]
    """By kind."""
    durations: list[Times]
    """By kind, state and outcome."""
    attempts: dict[str, int]
    """That have ended, by how."""
    workers: list[WorkerFigures]


def figures(store: Store) -> Figures:
    with store.reading() as connection:
        return Figures(
            jobs=_jobs(connection),
            queues=_queues(connection),
            waits=_waits(connection),
            durations=_durations(connection),
            attempts=_attempts(connection),
            workers=_workers(connection),
        )


def _jobs(connection: Connection) -> dict[tuple[str, str], int]:
    columns = tables.jobs.c
    rows = connection.execute(
        select(columns.kind, columns.state, func.count()).group_by(columns.kind, columns.state)
    )
    return {(kind, state): number for kind, state, number in rows}


def _queues(connection: Connection) -> list[QueueDepth]:
    columns = tables.jobs.c
    # A race waits for its runs, and then in the queue to be concluded.
    rows = connection.execute(
        select(columns.kind, func.count(), db_now() - func.min(columns.created_at))
        .where(columns.state == State.QUEUED, ~has_unfinished_runs())
        .group_by(columns.kind)
    )
    waiting = dict.fromkeys(QUEUE_OF.values(), 0)
    oldest = dict.fromkeys(QUEUE_OF.values(), 0.0)
    for kind, number, seconds in rows:
        queue = QUEUE_OF.get(JobName(kind))
        if queue is not None:
            waiting[queue] += number
            oldest[queue] = max(oldest[queue], seconds)
    return [QueueDepth(queue, waiting[queue], oldest[queue]) for queue in waiting]


def _waits(connection: Connection) -> list[Times]:
    columns = tables.jobs.c
    seconds = columns.started_at - columns.created_at
    worked_on = and_(columns.started_at.is_not(None), columns.kind.in_(QUEUE_OF))
    return _times(connection, [columns.kind], seconds, WAIT_SECONDS, worked_on)


def _durations(connection: Connection) -> list[Times]:
    columns = tables.jobs.c
    seconds = columns.finished_at - columns.started_at
    ended = and_(
        columns.state.in_(FINISHED), columns.started_at.is_not(None), columns.kind.in_(QUEUE_OF)
    )
    by = [columns.kind, columns.state, columns.outcome]
    return _times(connection, by, seconds, DURATION_SECONDS, ended)


def _times(
    connection: Connection,
    by: Sequence[ColumnElement[Any]],
    seconds: ColumnElement[float],
    upper_ends: Sequence[float],
    which: ColumnElement[bool],
) -> list[Times]:
    within = [func.sum(case((seconds <= end, 1), else_=0)) for end in upper_ends]
    rows = connection.execute(
        select(*by, func.count(), func.sum(seconds), *within).where(which).group_by(*by)
    )
    found = []
    for row in rows:
        said, (number, total), buckets = (
            row[: len(by)],
            row[len(by) : len(by) + 2],
            row[len(by) + 2 :],
        )
        labels = {column.key or "": value or "" for column, value in zip(by, said, strict=True)}
        found.append(Times(labels, [int(each) for each in buckets], number, total))
    return found


def _attempts(connection: Connection) -> dict[str, int]:
    ending = tables.attempts.c.ending
    rows = connection.execute(
        select(ending, func.count()).where(ending.is_not(None)).group_by(ending)
    )
    return {said: number for said, number in rows}


def _workers(connection: Connection) -> list[WorkerFigures]:
    columns = tables.workers.c
    rows = connection.execute(
        select(columns.name, db_now() - columns.heartbeat_at, columns.memory_bytes).order_by(
            columns.name
        )
    )
    return [WorkerFigures(*row) for row in rows]

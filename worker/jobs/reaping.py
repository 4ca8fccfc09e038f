"""Taking jobs back from attempts that were lost."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, null, select, update

from worker import store as tables
from worker.jobs.job import Attempt, Ending, JobName, State
from worker.jobs.reading import attempts_of
from worker.jobs.runs import hold_race, settle
from worker.jobs.transitions import end_attempt, queued_again
from worker.jobs.workers import forget_worker
from worker.problem import ATTEMPTS_EXHAUSTED
from worker.store import Store, db_now

MAX_ATTEMPTS = 3
"""Lost attempts after which a job is given up."""


def reap(store: Store) -> list[str]:
    """Take the jobs back whose lease ran out; returns their ids."""
    columns = tables.jobs.c
    # A loop of the caller's own is nobody else's to go on with.
    lost = (columns.kind != JobName.RUN) & (columns.lease_until < db_now())
    return _lose(store, lost, "it stopped giving signs of life")


def lose_job(store: Store, job_id: str, *, worker: str, why: str) -> list[str]:
    """Take one job back from a worker that is known to have dropped it."""
    columns = tables.jobs.c
    return _lose(store, (columns.id == job_id) & (columns.owner == worker), why)


def lose_worker(store: Store, worker: str, *, why: str) -> list[str]:
    """Take all jobs back from a worker that is known to be dead, and forget the worker."""
    lost = _lose(store, tables.jobs.c.owner == worker, why)
    forget_worker(store, worker)
    return lost


def _lose(store: Store, which: ColumnElement[bool], why: str) -> list[str]:
    columns = tables.jobs.c
    running = columns.state == State.RUNNING
    with store.writing() as connection:
        races = connection.execute(
            select(columns.parent_id)
            .where(running, which, columns.parent_id.is_not(None))
            .distinct()
            .order_by(columns.parent_id)
        ).scalars()
        for race_id in races.all():
            hold_race(connection, race_id)
        lost = connection.execute(
            select(columns.id, columns.attempt, columns.parent_id)
            .where(running, which)
            # One order for all, so that no two wait for each other.
            .order_by(columns.id)
            .with_for_update()
        ).all()
        for job_id, number, race_id in lost:
            end_attempt(connection, job_id, number, Ending.LOST, why)
            history = [a for a in attempts_of(connection, job_id) if a.ending == Ending.LOST]
            values = queued_again() if len(history) < MAX_ATTEMPTS else _given_up(history)
            connection.execute(update(tables.jobs).where(columns.id == job_id).values(**values))
            settle(connection, race_id)
    return [job_id for job_id, _, _ in lost]


def _given_up(history: Sequence[Attempt]) -> dict[str, Any]:
    told = "; ".join(f"attempt {a.number} on {a.worker}: {a.detail}" for a in history)
    problem = ATTEMPTS_EXHAUSTED.problem(
        f"Given up after {len(history)} lost attempts. {told}. The machine may be short of "
        "memory: try a smaller model or batch, and see the worker's log.",
        attempts=[{"number": a.number, "worker": a.worker, "detail": a.detail} for a in history],
    )
    return {
        "state": State.FAILED,
        "problem": problem.as_json(),
        "finished_at": db_now(),
        "lease_until": null(),
    }

"""An attempt at a job: it claims the job, beats while it works, and ends it.

Whatever it writes, it writes on the condition that the job still runs under its number.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, func, insert, null, select, update

from worker import store as tables
from worker.jobs.job import Beat, Claim, Ending, JobName, State, outcome_of
from worker.jobs.runs import add_up, has_unfinished_runs, hold_race, settle
from worker.jobs.transitions import end_attempt, queued_again
from worker.problem import Problem
from worker.store import Store, db_now


def claim(store: Store, job_id: str, *, worker: str, lease_seconds: float) -> Claim | None:
    """The right to work on a queued job; none if it is not queued (any more), or waits for its
    runs."""
    columns = tables.jobs.c
    with store.writing() as connection:
        race_id = connection.execute(
            select(columns.parent_id).where(columns.id == job_id)
        ).scalar_one_or_none()
        hold_race(connection, race_id)
        row = connection.execute(
            update(tables.jobs)
            .where(columns.id == job_id, columns.state == State.QUEUED, ~has_unfinished_runs())
            .values(
                state=State.RUNNING,
                attempt=columns.attempt + 1,
                owner=worker,
                lease_until=db_now() + lease_seconds,
                drain_requested=False,
                started_at=func.coalesce(columns.started_at, db_now()),
                stage=null(),
                # A race's is that of its runs.
                share=case((columns.kind == JobName.RACE, columns.share), else_=0.0),
            )
            .returning(columns.attempt, columns.spec, columns.request_id, columns.traceparent)
        ).one_or_none()
        if row is None:
            return None
        if race_id is not None:
            connection.execute(
                update(tables.jobs)
                .where(columns.id == race_id, columns.state == State.QUEUED)
                .values(state=State.RUNNING, stage="training", started_at=db_now())
            )
        connection.execute(
            insert(tables.attempts).values(
                job_id=job_id, number=row.attempt, worker=worker, started_at=db_now()
            )
        )
    return Claim(
        job_id=job_id,
        race_id=race_id,
        number=row.attempt,
        worker=worker,
        spec=row.spec,
        request_id=row.request_id,
        traceparent=row.traceparent,
    )


def beat(
    store: Store,
    held: Claim,
    *,
    lease_seconds: float,
    stage: str,
    share: float,
    points: Sequence[Mapping[str, Any]] = (),
) -> Beat:
    """Renew the lease, tell the progress, and hear whether to stop.

    Args:
        points: of a run, the steps taken since the beat before.
    """
    columns = tables.jobs.c
    with store.writing() as connection:
        hold_race(connection, held.race_id)
        row = connection.execute(
            update(tables.jobs)
            .where(*_still_held(held))
            .values(lease_until=db_now() + lease_seconds, stage=stage or null(), share=share)
            .returning(columns.cancel_requested, columns.drain_requested)
        ).one_or_none()
        if row is None:
            return Beat(current=False)
        if held.race_id is not None:
            add_up(connection, held.race_id)
            if points:
                connection.execute(
                    insert(tables.points).values(
                        race_id=held.race_id, run_id=held.job_id, points=list(points)
                    )
                )
    return Beat(
        current=True, cancel_requested=row.cancel_requested, drain_requested=row.drain_requested
    )


def succeed(store: Store, held: Claim, report: dict[str, Any]) -> bool:
    """Store the report; False, and nothing stored, if the attempt is no longer the current one."""
    return _finish(
        store,
        held,
        Ending.SUCCEEDED,
        state=State.SUCCEEDED,
        report=report,
        outcome=outcome_of(report),
    )


def fail(store: Store, held: Claim, problem: Problem) -> bool:
    """Store what went wrong; False, and nothing stored, if the attempt is not the current one."""
    return _finish(store, held, Ending.FAILED, state=State.FAILED, problem=problem.as_json())


def stop(store: Store, held: Claim) -> bool:
    """End a job whose cancelling was asked for; False if the attempt is not the current one."""
    return _finish(store, held, Ending.CANCELLED, state=State.CANCELLED)


def release(store: Store, held: Claim, *, published: bool = False) -> bool:
    """Give the job back unfinished, because the worker shuts down or does not understand it; this
    is no lost attempt. `published` lets it wait as if its message were in the queue."""
    with store.writing() as connection:
        hold_race(connection, held.race_id)
        held_still = connection.execute(
            update(tables.jobs)
            .where(*_still_held(held))
            .values(queued_again() | ({"published_at": db_now()} if published else {}))
        ).rowcount
        if held_still:
            end_attempt(connection, held.job_id, held.number, Ending.RELEASED)
            settle(connection, held.race_id)
    return bool(held_still)


def _still_held(held: Claim) -> tuple[ColumnElement[bool], ...]:
    columns = tables.jobs.c
    return (
        columns.id == held.job_id,
        columns.state == State.RUNNING,
        columns.attempt == held.number,
    )


def _finish(store: Store, held: Claim, ending: Ending, **values: Any) -> bool:
    with store.writing() as connection:
        hold_race(connection, held.race_id)
        held_still = connection.execute(
            update(tables.jobs)
            .where(*_still_held(held))
            .values(
                finished_at=db_now(),
                lease_until=null(),
                share=1.0 if ending is Ending.SUCCEEDED else tables.jobs.c.share,
                **values,
            )
        ).rowcount
        if held_still:
            end_attempt(connection, held.job_id, held.number, ending)
            settle(connection, held.race_id)
    return bool(held_still)

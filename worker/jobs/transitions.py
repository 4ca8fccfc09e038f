"""What a job's change of state writes, whoever makes it."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, case, null, update

from worker import store as tables
from worker.jobs.job import UNFINISHED, Ending, State
from worker.store import db_now


def queued_again() -> dict[str, Any]:
    cancelled = tables.jobs.c.cancel_requested
    return {
        "state": case((cancelled, State.CANCELLED.value), else_=State.QUEUED.value),
        "finished_at": case((cancelled, db_now()), else_=null()),
        "owner": null(),
        "lease_until": null(),
        "published_at": null(),
        "drain_requested": False,
        "stage": null(),
        "share": 0.0,
    }


def cancel_all(connection: Connection, which: ColumnElement[bool]) -> None:
    columns = tables.jobs.c
    queued = columns.state == State.QUEUED
    connection.execute(
        update(tables.jobs)
        .where(which, columns.state.in_(UNFINISHED))
        .values(
            cancel_requested=True,
            state=case((queued, State.CANCELLED.value), else_=columns.state),
            finished_at=case((queued, db_now()), else_=null()),
        )
    )


def end_attempt(
    connection: Connection, job_id: str, number: int, ending: Ending, detail: str | None = None
) -> None:
    columns = tables.attempts.c
    connection.execute(
        update(tables.attempts)
        .where(columns.job_id == job_id, columns.number == number)
        .values(ended_at=db_now(), ending=ending, detail=detail)
    )

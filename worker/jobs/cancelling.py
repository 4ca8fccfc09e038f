"""Ending jobs that somebody does not want any more."""

from sqlalchemy import select, update

from worker import store as tables
from worker.jobs.job import JobName, State
from worker.jobs.runs import settle
from worker.jobs.transitions import cancel_all
from worker.store import Store


def cancel(store: Store, job_id: str) -> None:
    """Cancel a queued job at once, and ask the attempt at a running one to stop. A race is
    cancelled with its runs. A finished job stays to be looked at, and answers no other request."""
    columns = tables.jobs.c
    with store.writing() as connection:
        kind = connection.execute(
            select(columns.kind).where(columns.id == job_id).with_for_update()
        ).scalar_one_or_none()
        cancel_all(connection, columns.id == job_id)
        connection.execute(
            update(tables.jobs)
            .where(columns.id == job_id, columns.state == State.SUCCEEDED)
            .values(cancel_requested=True)
        )
        if kind == JobName.RACE:
            cancel_all(connection, columns.parent_id == job_id)
            settle(connection, job_id)

"""Forgetting jobs that are long over."""

from sqlalchemy import delete, select

from worker import store as tables
from worker.jobs.job import FINISHED
from worker.store import Store, db_now

AT_A_TIME = 50
"""Jobs of one transaction, so that nobody waits long for it."""


def remove_old(store: Store, *, older_than_seconds: float) -> int:
    """Delete jobs that were finished this long ago, with all that belongs to them; returns how
    many, of which runs of races are none."""
    columns = tables.jobs.c
    removed = 0
    while True:
        with store.writing() as connection:
            old = (
                connection.execute(
                    select(columns.id)
                    .where(
                        columns.parent_id.is_(None),
                        columns.state.in_(FINISHED),
                        columns.finished_at < db_now() - older_than_seconds,
                    )
                    .order_by(columns.id)
                    .limit(AT_A_TIME)
                )
                .scalars()
                .all()
            )
            # Attempts, runs and points go with their jobs.
            connection.execute(delete(tables.jobs).where(columns.id.in_(old)))
        removed += len(old)
        if len(old) < AT_A_TIME:
            return removed

"""Which jobs have a message in the queue, as far as is known."""

from collections.abc import Collection

from sqlalchemy import or_, select, update

from worker import store as tables
from worker.jobs.job import JobName, State
from worker.jobs.runs import has_unfinished_runs
from worker.store import Store, db_now


def mark_published(store: Store, *job_ids: str) -> None:
    """Note that a message for each of these jobs is in the queue."""
    with store.writing() as connection:
        connection.execute(
            update(tables.jobs).where(tables.jobs.c.id.in_(job_ids)).values(published_at=db_now())
        )


def unpublished(
    store: Store, kinds: Collection[JobName], *, older_than_seconds: float
) -> list[tuple[str, str]]:
    """Id and kind of queued jobs that have no message, or sent it this long ago; oldest first."""
    columns = tables.jobs.c
    with store.reading() as connection:
        rows = connection.execute(
            select(columns.id, columns.kind)
            .where(
                columns.state == State.QUEUED,
                columns.kind.in_(kinds),
                ~has_unfinished_runs(),
                or_(
                    columns.published_at.is_(None),
                    columns.published_at < db_now() - older_than_seconds,
                ),
            )
            .order_by(columns.id)
            .limit(100)
        )
        return [(row.id, row.kind) for row in rows]

"""Which jobs have a message in the queue, as far as is known."""

from collections.abc import Collection

from sqlalchemy import func, null, or_, select, update

from worker import store as tables
from worker.jobs.job import JobName, State
from worker.jobs.runs import has_unfinished_runs
from worker.settings import DeviceKind
from worker.store import Store, db_now

AT_A_TIME = 100
"""Jobs that one look finds."""


def mark_published(store: Store, *job_ids: str) -> None:
    """Note that a message for each of these jobs is in the queue."""
    with store.writing() as connection:
        connection.execute(
            update(tables.jobs).where(tables.jobs.c.id.in_(job_ids)).values(published_at=db_now())
        )


def unpublished(
    store: Store,
    kinds: Collection[JobName],
    *,
    older_than_seconds: float,
    device_kind: DeviceKind = "cpu",
) -> list[tuple[str, str]]:
    """Id and kind of queued jobs that have no message, or whose message was sent this long ago;
    those first that most likely have none."""
    columns = tables.jobs.c
    with store.reading() as connection:
        rows = connection.execute(
            select(columns.id, columns.kind)
            .where(
                columns.state == State.QUEUED,
                columns.kind.in_(kinds),
                columns.device_kind == device_kind,
                ~has_unfinished_runs(),
                or_(
                    columns.published_at.is_(None),
                    columns.published_at < db_now() - older_than_seconds,
                ),
            )
            # Those that have none for certain, then those whose message was sent the longest ago.
            .order_by(columns.published_at.is_not(None), columns.published_at, columns.id)
            .limit(AT_A_TIME)
        )
        return [(row.id, row.kind) for row in rows]


def count_queued(
    store: Store, kinds: Collection[JobName], *, device_kind: DeviceKind = "cpu"
) -> int:
    """How many jobs of these kinds should have a message in the queue."""
    columns = tables.jobs.c
    with store.reading() as connection:
        return connection.execute(
            select(func.count()).where(
                columns.state == State.QUEUED,
                columns.kind.in_(kinds),
                columns.device_kind == device_kind,
                ~has_unfinished_runs(),
            )
        ).scalar_one()


def mark_unpublished(store: Store, *job_ids: str) -> None:
    """Note that these jobs have no message, as none could be sent."""
    with store.writing() as connection:
        connection.execute(
            update(tables.jobs)
            .where(tables.jobs.c.id.in_(job_ids), tables.jobs.c.state == State.QUEUED)
            .values(published_at=null())
        )

"""Which jobs have a message in the queue, as far as is known."""

from collections.abc import Collection

from sqlalchemy import Float, and_, bindparam, func, null, or_, select, update

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
    asked = {"kinds": kinds, "device_kind": device_kind, "seconds": older_than_seconds}
    with store.reading() as connection:
        return [(row.id, row.kind) for row in connection.execute(_UNPUBLISHED, asked)]


def count_queued(
    store: Store, kinds: Collection[JobName], *, device_kind: DeviceKind = "cpu"
) -> int:
    """How many jobs of these kinds should have a message in the queue."""
    asked = {"kinds": kinds, "device_kind": device_kind}
    with store.reading() as connection:
        return connection.execute(_COUNT, asked).scalar_one()


def mark_unpublished(store: Store, *job_ids: str) -> None:
    """Note that these jobs have no message, as none could be sent."""
    with store.writing() as connection:
        connection.execute(
            update(tables.jobs)
            .where(tables.jobs.c.id.in_(job_ids), tables.jobs.c.state == State.QUEUED)
            .values(published_at=null())
        )


# Made once: to put a statement together takes longer than to ask it, and these are asked each
# second.
_columns = tables.jobs.c
_WAITS = and_(
    _columns.state == State.QUEUED,
    _columns.kind.in_(bindparam("kinds", expanding=True)),
    _columns.device_kind == bindparam("device_kind"),
    # No other kind has runs that would have to be looked for.
    or_(_columns.kind != JobName.RACE, ~has_unfinished_runs()),
)
_COUNT = select(func.count()).where(_WAITS)
_UNPUBLISHED = (
    select(_columns.id, _columns.kind)
    .where(
        _WAITS,
        or_(
            _columns.published_at.is_(None),
            _columns.published_at < db_now() - bindparam("seconds", type_=Float),
        ),
    )
    # Those that have none for certain, then those whose message was sent the longest ago.
    .order_by(_columns.published_at.is_not(None), _columns.published_at, _columns.id)
    .limit(AT_A_TIME)
)

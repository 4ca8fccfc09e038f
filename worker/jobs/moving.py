"""Unfinished jobs whose kind of device is no longer here."""

from sqlalchemy import select, update

from worker import store as tables
from worker.jobs.job import UNFINISHED, JobName
from worker.jobs.submitting import spec_sha256
from worker.settings import DeviceKind
from worker.store import Store


def move_to(store: Store, device_kind: DeviceKind) -> list[str]:
    """Send every unfinished job to workers with this kind of device, and return the ids of those
    that were meant for another.

    For who knows that there are no other workers, as where a machine was given a GPU between two
    runs of the service. The question is another on another kind of device, and so is its digest.
    """
    columns = tables.jobs.c
    with store.writing() as connection:
        rows = connection.execute(
            select(columns.id, columns.kind, columns.spec)
            .where(columns.state.in_(UNFINISHED), columns.device_kind != device_kind)
            .order_by(columns.id)
        ).all()
        for job_id, kind, spec in rows:
            connection.execute(
                update(tables.jobs)
                .where(columns.id == job_id)
                .values(
                    device_kind=device_kind,
                    spec_sha256=spec_sha256(JobName(kind), spec, device_kind),
                    published_at=None,
                )
            )
    return [row.id for row in rows]

"""The workers that take jobs."""

from sqlalchemy import insert, select, update

from worker import store as tables
from worker.jobs.job import State
from worker.store import Store, db_now

FORGET_AFTER_SECONDS = 3_600.0


def worker_is_alive(store: Store, worker: str, *, memory_bytes: int | None = None) -> None:
    """Note a sign of life of a worker that takes jobs, and what memory it holds."""
    with store.writing() as connection:
        known = connection.execute(
            update(tables.workers)
            .where(tables.workers.c.name == worker)
            .values(heartbeat_at=db_now(), memory_bytes=memory_bytes)
        ).rowcount
        if not known:
            connection.execute(
                insert(tables.workers).values(
                    name=worker,
                    started_at=db_now(),
                    heartbeat_at=db_now(),
                    memory_bytes=memory_bytes,
                )
            )


def forget_worker(store: Store, worker: str) -> None:
    with store.writing() as connection:
        connection.execute(tables.workers.delete().where(tables.workers.c.name == worker))


def forget_silent_workers(store: Store) -> None:
    """Forget workers that were killed together with their machine."""
    with store.writing() as connection:
        silent = tables.workers.c.heartbeat_at < db_now() - FORGET_AFTER_SECONDS
        connection.execute(tables.workers.delete().where(silent))


def live_workers(store: Store, *, within_seconds: float) -> list[str]:
    """Workers that gave a sign of life lately."""
    columns = tables.workers.c
    with store.reading() as connection:
        return list(
            connection.execute(
                select(columns.name).where(columns.heartbeat_at > db_now() - within_seconds)
            ).scalars()
        )


def drain(store: Store, worker: str) -> None:
    """Ask the attempts of a worker that shuts down to give their jobs back."""
    columns = tables.jobs.c
    with store.writing() as connection:
        connection.execute(
            update(tables.jobs)
            .where(columns.owner == worker, columns.state == State.RUNNING)
            .values(drain_requested=True)
        )

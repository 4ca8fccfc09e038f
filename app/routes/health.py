"""Whether the process lives, and whether the service can work."""

from collections.abc import Callable

from fastapi import APIRouter
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.deps import QueueDep, StoreDep
from app.job_view import View
from app.problems import NOT_READY, ProblemError, documented
from worker import jobs
from worker.store import Store

router = APIRouter(tags=["operation"])

SILENCE_SECONDS = 60.0
"""A worker that gave no sign of life for this long does not count."""


class Health(View):
    status: str


class Readiness(View):
    status: str
    checks: dict[str, bool]


@router.get("/healthz")
async def healthz() -> Health:
    """This process answers."""
    return Health(status="ok")


@router.get("/readyz", responses=documented(503))
def readyz(store: StoreDep, queue: QueueDep) -> Readiness:
    """The database can be written, the broker answers, and a worker is alive."""
    checks = {
        "database": _succeeds(lambda: _write(store)),
        "broker": queue.is_reachable(),
        "worker": _succeeds(lambda: bool(jobs.live_workers(store, within_seconds=SILENCE_SECONDS))),
    }
    if not all(checks.values()):
        missing = ", ".join(name for name, fine in checks.items() if not fine)
        raise ProblemError(
            NOT_READY.problem(f"Not ready: {missing}.", checks=checks), {"Retry-After": "1"}
        )
    return Readiness(status="ready", checks=checks)


def _write(store: Store) -> bool:
    with store.writing() as connection:
        connection.execute(text("UPDATE workers SET heartbeat_at = heartbeat_at WHERE 1 = 0"))
    return True


def _succeeds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except SQLAlchemyError:
        return False

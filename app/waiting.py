"""Requests that wait for jobs: one poller for all of them, and no thread for any."""

import asyncio
from collections import defaultdict

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from worker import jobs
from worker.store import Store

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.03


class Waiting:
    """Asks the database about all awaited jobs at once, while there are any."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiters: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._poller: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the service stops."""
        return self._closed

    async def until_finished(self, job_id: str, *, seconds: float) -> None:
        """Return once the job is finished, the time is up, or the service stops."""
        if seconds <= 0 or self._closed:
            return
        self._loop = asyncio.get_running_loop()
        waiter = self._loop.create_future()
        self._waiters[job_id].add(waiter)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            await asyncio.wait_for(waiter, seconds)
        except TimeoutError:
            pass
        finally:
            self._waiters[job_id].discard(waiter)
            if not self._waiters[job_id]:
                del self._waiters[job_id]

    def close(self) -> None:
        """Let everybody go; called from the signal handler."""
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._let_go, list(self._waiters))

    async def _poll(self) -> None:
        while self._waiters:
            try:
                self._let_go(
                    await run_in_threadpool(jobs.finished_among, self._store, list(self._waiters))
                )
            except SQLAlchemyError:
                log.exception("the database did not answer; trying again")
            await asyncio.sleep(POLL_SECONDS)

    def _let_go(self, job_ids: set[str] | list[str]) -> None:
        for job_id in job_ids:
            for waiter in self._waiters.get(job_id, ()):
                if not waiter.done():
                    waiter.set_result(None)

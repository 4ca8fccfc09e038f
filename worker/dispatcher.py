"""Makes good what the queue and the workers lose; runs in a thread of every API process, of which
one at a time has it to do."""

import threading
import time
from itertools import product

import structlog
from sqlalchemy.exc import SQLAlchemyError

from worker import jobs, watched_runs
from worker.artifacts import Artifacts
from worker.celery import LONG_QUEUE, QUEUE_OF, SHORT_QUEUE, queue_of
from worker.jobs import JobName
from worker.queue import Queue
from worker.settings import DEVICE_KINDS, Settings
from worker.store import Store

log = structlog.get_logger(__name__)

PERIOD_SECONDS = 1.0
RESEND_AFTER_SECONDS = 10.0
"""A message normally becomes an attempt well within this time, unless others wait before it."""
MERCY_SECONDS = 5.0
"""After the database was away, for attempts to renew the leases that ran out meanwhile."""
SWEEP_SECONDS = 10.0
"""Between two looks at what jobs have left in the folder."""
SWEEP_ELSEWHERE_SECONDS = 300.0
"""The same where each look is paid for."""


def dispatch(store: Store, queue: Queue, *, resend_after_seconds: float) -> None:
    """Take lost jobs back, close silent runs, and send messages again for queued jobs that have
    none."""
    take_back(store)
    resend(store, queue, older_than_seconds=resend_after_seconds)


def take_back(store: Store) -> None:
    """Queue again what was lost, or give it up."""
    for job_id in jobs.reap(store):
        log.warning("attempt lost: its lease ran out", job_id=job_id)
    for run_id in watched_runs.close_silent(store):
        log.warning("run abandoned: it stopped giving signs of life", job_id=run_id)


def resend(store: Store, queue: Queue, *, older_than_seconds: float) -> None:
    """Send as many messages again as there are too few, for the jobs that most likely have none.

    A queue is served in the order in which messages were sent. Where there are fewer messages than
    queued jobs, those without one are the ones that are known to have none, and then those whose
    message was sent the longest ago: it would have been served before the others'. Never more are
    sent than are missing, so that the queue cannot fill with duplicates.
    """
    for name, device_kind in product((SHORT_QUEUE, LONG_QUEUE), DEVICE_KINDS):
        kinds = [kind for kind, its_queue in QUEUE_OF.items() if its_queue == name]
        waiting = jobs.unpublished(
            store, kinds, device_kind=device_kind, older_than_seconds=older_than_seconds
        )
        if not waiting:
            continue
        messages = queue.length(queue_of(name, device_kind))
        if messages is None:
            continue
        missing = jobs.count_queued(store, kinds, device_kind=device_kind) - messages
        for job_id, kind in waiting[: max(0, missing)]:
            if not queue.enqueue(JobName(kind), job_id, device_kind):
                return
            jobs.mark_published(store, job_id)
            log.info("message sent again", job_id=job_id)


class Dispatcher(threading.Thread):
    """Dispatches until it is told to stop, and clears away what finished jobs left."""

    def __init__(self, store: Store, queue: Queue, settings: Settings) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self._store = store
        self._queue = queue
        self._artifacts = Artifacts(settings)
        self._retention_seconds = settings.retention_seconds
        self._stopping = threading.Event()
        self._merciful_until = 0.0
        self._sweep_at = 0.0

    def run(self) -> None:
        while not self._stopping.wait(PERIOD_SECONDS):
            try:
                with self._store.alone("dispatcher") as alone:
                    if alone:
                        self._round()
            except SQLAlchemyError as error:
                log.warning("the database did not answer; trying again", error=str(error))
                self._merciful_until = time.monotonic() + MERCY_SECONDS
            except Exception:
                # Nobody else would do it.
                log.exception("a round of the dispatcher failed; trying again")

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def _round(self) -> None:
        if time.monotonic() >= self._merciful_until:
            take_back(self._store)
        resend(self._store, self._queue, older_than_seconds=RESEND_AFTER_SECONDS)
        if time.monotonic() >= self._sweep_at:
            here = self._artifacts.are_here
            self._sweep_at = time.monotonic() + (SWEEP_SECONDS if here else SWEEP_ELSEWHERE_SECONDS)
            self._sweep()

    def _sweep(self) -> None:
        jobs.forget_silent_workers(self._store)
        if self._retention_seconds is not None:
            removed = jobs.remove_old(self._store, older_than_seconds=self._retention_seconds)
            if removed:
                log.info("old jobs removed", count=removed)
        self._artifacts.remove_those_of_finished(self._store)

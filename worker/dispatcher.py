"""Makes good what the queue and the workers lose; runs in a thread of every API process, of which
one at a time has it to do."""

import threading

import structlog
from sqlalchemy.exc import SQLAlchemyError

from worker import artifacts, jobs, watched_runs
from worker.celery import LONG_QUEUE, QUEUE_OF, SHORT_QUEUE
from worker.jobs import JobName
from worker.queue import Queue
from worker.settings import Settings
from worker.store import Store

log = structlog.get_logger(__name__)

PERIOD_SECONDS = 1.0
RESEND_AFTER_SECONDS = 10.0
"""A message normally becomes an attempt well within this time, unless others wait before it."""


def dispatch(store: Store, queue: Queue, *, resend_after_seconds: float) -> None:
    """Take lost jobs back, close silent runs, and send messages again for queued jobs that have
    none."""
    for job_id in jobs.reap(store):
        log.warning("attempt lost: its lease ran out", job_id=job_id)
    for run_id in watched_runs.close_silent(store):
        log.warning("run abandoned: it stopped giving signs of life", job_id=run_id)
    for name in (SHORT_QUEUE, LONG_QUEUE):
        kinds = [kind for kind, its_queue in QUEUE_OF.items() if its_queue == name]
        waiting = jobs.unpublished(store, kinds, older_than_seconds=resend_after_seconds)
        # While messages wait, a job's own may be among them: sending again would only pile them up.
        if not waiting or not queue.is_empty(name):
            continue
        for job_id, kind in waiting:
            if not queue.enqueue(JobName(kind), job_id):
                return
            jobs.mark_published(store, job_id)
            log.info("message sent again", job_id=job_id)


class Dispatcher(threading.Thread):
    """Dispatches until it is told to stop, and clears away what finished jobs left."""

    def __init__(self, store: Store, queue: Queue, settings: Settings) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self._store = store
        self._queue = queue
        self._settings = settings
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(PERIOD_SECONDS):
            try:
                with self._store.alone("dispatcher") as alone:
                    if alone:
                        self._round()
            except SQLAlchemyError:
                log.exception("the database did not answer; trying again")

    def _round(self) -> None:
        dispatch(self._store, self._queue, resend_after_seconds=RESEND_AFTER_SECONDS)
        artifacts.remove_those_of_finished(self._store, self._settings)

    def stop(self) -> None:
        self._stopping.set()
        self.join()

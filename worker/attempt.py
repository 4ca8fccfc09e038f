"""One attempt at a job: alive while it works, and told when to stop."""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from admin_core.errors import AnalysisCancelledError, AnalysisReleasedError
from admin_core.progress import Progress
from worker import jobs
from worker.jobs import Beat, Claim
from worker.persistence import once_the_database_answers
from worker.problem import TIME_LIMIT
from worker.settings import Settings
from worker.store import Store

log = structlog.get_logger(__name__)

Form = TypeVar("Form", bound=BaseModel)

BEAT_SECONDS = 0.5
"""Bounds how late a wish to cancel is heard; two short writes a second."""
GRACE_SECONDS = 1.0
"""How long work may take to stop when told, before its process is ended."""


class Stop(Enum):
    """Why an attempt must stop."""

    CANCELLED = auto()
    DRAINED = auto()
    OUT_OF_TIME = auto()
    SUPERSEDED = auto()
    """Another attempt has the job, or nobody; nothing may be written."""


class RunningAttempt:
    """Beats in a thread while the work runs in its `with` block.

    Work that does not listen ends with its process, which the worker replaces: there is no other
    way to end a long call into native code.
    """

    def __init__(self, store: Store, held: Claim, settings: Settings) -> None:
        self._store = store
        self._held = held
        self._lease_seconds = settings.lease_seconds
        self._time_limit_seconds = settings.job_time_limit_seconds
        self._release_seconds = settings.shutdown_seconds / 2
        self._points: list[dict[str, Any]] = []
        self._beating = threading.Lock()
        self._started = time.monotonic()
        self._progress = Progress("starting", 0.0)
        self._stop: Stop | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="beat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def on_progress(self, progress: Progress) -> None:
        """For the work to call; raises AnalysisCancelledError when it must stop."""
        self._progress = progress
        if self._stop is Stop.DRAINED:
            raise AnalysisReleasedError(self._stop.name.lower())
        if self._stop is not None:
            raise AnalysisCancelledError(self._stop.name.lower())

    def on_point(self, point: Mapping[str, Any]) -> None:
        """For a run to call; the next beat writes the point down."""
        self._points.append(dict(point))

    def write_points(self) -> bool:
        """Write down the points that are waiting for the next beat; False if they wait on.

        Raises:
            AnalysisCancelledError: another attempt has the job; the points are its to tell.
        """
        try:
            with self._beating:
                heard = self._hear()
        except SQLAlchemyError as error:
            log.warning("points did not reach the database", error=str(error))
            return False
        if not heard.current:
            self._stop = Stop.SUPERSEDED
            raise AnalysisCancelledError(self._stop.name.lower())
        return True

    def understand(self, form: type[Form], told: Any) -> Form:
        """What the database tells, as an object. Who wrote it has seen to it that it is right, so
        that where it is not, it is of a later version: the job is given back for its workers.

        Raises:
            AnalysisCancelledError: the job was given back.
        """
        try:
            return form.model_validate(told)
        except ValidationError as error:
            log.warning("given back: it is of another version", unknown=error.error_count())
        # As if its message were sent already, so that it comes again after seconds, not at once.
        once_the_database_answers(lambda: jobs.release(self._store, self._held, published=True))
        raise AnalysisCancelledError("it is of another version")

    def conclude_stopped(self) -> None:
        """Write down that the work stopped, and why."""
        endings: dict[Stop, Callable[[], bool]] = {
            Stop.CANCELLED: lambda: jobs.stop(self._store, self._held),
            Stop.DRAINED: lambda: jobs.release(self._store, self._held),
            Stop.OUT_OF_TIME: lambda: jobs.fail(
                self._store,
                self._held,
                TIME_LIMIT.problem(
                    f"Stopped after {self._time_limit_seconds:g} seconds. Make the model or the "
                    "batch smaller, or raise TRIMTAB_JOB_TIME_LIMIT_SECONDS."
                ),
            ),
        }
        if self._stop in endings:
            once_the_database_answers(endings[self._stop], within_seconds=self._lease_seconds)
        log.info("attempt stopped", why=self._stop.name.lower() if self._stop else None)

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            try:
                with self._beating:
                    self._stop = self._reason_to_stop()
            except Exception as error:
                # The lease outlives a few beats. Without this thread the work could not be stopped.
                log.warning("a beat did not reach the database", error=str(error))
            if self._stop is not None:
                break
        # Who gives a job back may have to save it first.
        grace = self._release_seconds if self._stop is Stop.DRAINED else GRACE_SECONDS
        if self._stop is not None and not self._over.wait(grace):
            try:
                self.conclude_stopped()
            except SQLAlchemyError as error:
                log.warning("the end did not reach the database", error=str(error))
            log.warning("the work did not stop when told; ending its process")
            os.kill(os.getpid(), signal.SIGKILL)

    def _reason_to_stop(self) -> Stop | None:
        heard = self._hear()
        if not heard.current:
            return Stop.SUPERSEDED
        if heard.cancel_requested:
            return Stop.CANCELLED
        if time.monotonic() - self._started > self._time_limit_seconds:
            return Stop.OUT_OF_TIME
        return Stop.DRAINED if heard.drain_requested else None

    def _hear(self) -> Beat:
        stage, share = self._progress
        # The work may add to them meanwhile.
        points = list(self._points)
        heard = jobs.beat(
            self._store,
            self._held,
            lease_seconds=self._lease_seconds,
            stage=stage,
            share=share,
            points=points,
        )
        del self._points[: len(points)]
        return heard

"""Keeps a worker process running, and ends it with the service."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from worker import jobs
from worker.settings import Queues, Settings
from worker.store import Store

log = structlog.get_logger(__name__)

LONGEST_REST_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A worker that ran this long is started again at once."""


class WorkerSupervisor(threading.Thread):
    """Starts the worker, and starts another when it dies."""

    def __init__(self, store: Store, settings: Settings, queues: Queues, device: str) -> None:
        super().__init__(name=f"worker-supervisor-{queues}-{device}", daemon=True)
        self._queues = queues
        self._device = device
        self._store = store
        self._settings = settings
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._worker: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        failures = 0
        while True:
            mine = f"{self._queues}-{os.getpid()}-{time.time_ns() // 1_000_000}"
            name = f"worker-{mine}@{socket.gethostname()}"
            started = time.monotonic()
            with self._starting:
                if self._stopping.is_set():
                    return
                self._worker = worker = self._start_worker(name)
            status = worker.wait()
            _end_group(worker.pid)
            try:
                jobs.lose_worker(self._store, name, why="its worker process died")
            except SQLAlchemyError as error:
                log.warning("lost jobs wait for their leases to run out", error=str(error))
            if self._stopping.is_set():
                return
            failures = 0 if time.monotonic() - started > STEADY_SECONDS else failures + 1
            rest = min(0.5 * 2**failures, LONGEST_REST_SECONDS) if failures else 0.0
            log.error("the worker died; starting another", status=status, after_seconds=rest)
            self._stopping.wait(rest)

    def tell_to_stop(self) -> None:
        """Let the worker give its job back and end."""
        with self._starting:
            if self._stopping.is_set():
                return
            self._stopping.set()
            worker = self._worker
        if worker is not None and worker.poll() is None:
            worker.terminate()

    def stop(self) -> None:
        """Tell it, and return when it has ended; end it by force after a while."""
        self.tell_to_stop()
        worker = self._worker
        if worker is not None and worker.poll() is None:
            self.join(self._settings.shutdown_seconds)
            if self.is_alive():
                _end_group(worker.pid)
        self.join()

    def _start_worker(self, name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "worker", "--name", name, "--until-stdin-closes"],
            env=os.environ
            | {
                "TRIMTAB_HOME": str(self._settings.home),
                "TRIMTAB_BROKER_URL": str(self._settings.broker_url),
                "TRIMTAB_DATABASE_URL": self._settings.database_url,
                "TRIMTAB_QUEUES": self._queues,
                "TRIMTAB_DEVICE": self._device,
            },
            stdin=subprocess.PIPE,
            # Ctrl-C in a terminal reaches the whole group; the worker ends when it is told to.
            start_new_session=True,
        )


def _end_group(pid: int) -> None:
    """Kill what is left of the worker's process group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass

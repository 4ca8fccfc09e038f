"""A whole service in parts, each of which can be killed at any moment and comes back by itself."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.broker import Broker, free_port
from tests.postgresql import PostgreSQL
from tests.service import TRIMTAB, environment, pool_process, until
from worker.queue import Queue
from worker.settings import Settings
from worker.store import Store

SETTINGS = {
    "TRIMTAB_LEASE_SECONDS": "4",
    "TRIMTAB_CHECKPOINT_SECONDS": "0.5",
    "TRIMTAB_RATE_LIMIT": "none",
    "TRIMTAB_SUBMIT_RATE_LIMIT": "none",
    "TRIMTAB_MAX_JOBS_PER_KEY": "1000000",
}


class Part:
    """A process that is started again when it dies, as a container's restart policy does."""

    def __init__(self, name: str, command: list[str], env: dict[str, str], log: Path) -> None:
        self.name = name
        self._command = command
        self._env = env
        self._log = log
        self._stopping = threading.Event()
        self.starts = 0
        self.process = self._start()
        self._watch = threading.Thread(target=self._keep_running, daemon=True)
        self._watch.start()

    def kill(self) -> None:
        """The process and all that it started, at once."""
        _kill_group(self.process.pid)

    def stop(self) -> None:
        self._stopping.set()
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
        self._watch.join()
        _kill_group(self.process.pid)

    def _start(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command, env=self._env, stdout=log, stderr=log, start_new_session=True
            )

    def _keep_running(self) -> None:
        while True:
            self.process.wait()
            _kill_group(self.process.pid)
            if self._stopping.wait(0.3):
                return
            self.process = self._start()


class Engine:
    """API, two workers, broker and database, by URLs alone."""

    def __init__(self, folder: Path, *, database: str) -> None:
        self.broker = Broker(folder / "broker")
        self.postgresql = PostgreSQL(folder / "postgresql") if database == "postgresql" else None
        url = f"sqlite:///{folder / 'trimtab.db'}"
        if self.postgresql is not None:
            url = self.postgresql.new_database()
        port = free_port()
        home = folder / "home"
        env = environment(home) | SETTINGS
        env |= {"TRIMTAB_DATABASE_URL": url, "TRIMTAB_BROKER_URL": self.broker.url()}
        self.home = home
        self._worker_log = folder / "worker.log"
        self.store = Store(url)
        self.store.migrate()
        self.queue = Queue(Settings(home=home, broker_url=self.broker.url(), database_url=url))
        worker = [sys.executable, "-m", "worker"]
        self.api = Part("api", [str(TRIMTAB), "api", "--port", str(port)], env, folder / "api.log")
        self.workers = [
            Part(f"worker-{queues}", worker, env | {"TRIMTAB_QUEUES": queues}, self._worker_log)
            for queues in ("short", "long")
        ]
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
        until(self._is_ready, seconds=240)

    def pool_process(self, worker: Part) -> int | None:
        """The process of a worker that does its jobs, if it has one just now."""
        try:
            return pool_process(worker.process.pid)
        except ValueError:
            return None

    def unexpected(self) -> str:
        """What the workers logged of the first error that they did not expect; empty for none."""
        _, found, after = self._worker_log.read_text().partition("failed unexpectedly")
        return (found + after)[:8_000]

    def stop(self) -> None:
        for part in (*self.workers, self.api):
            part.stop()
        self.http.close()
        self.queue.close()
        self.store.close()
        self.broker.stop()
        if self.postgresql is not None:
            self.postgresql.stop()

    def _is_ready(self) -> bool:
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False


def later(seconds: float, then: Callable[[], None]) -> threading.Thread:
    """Do something after a while, without waiting for it."""

    def wait() -> None:
        time.sleep(seconds)
        then()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass

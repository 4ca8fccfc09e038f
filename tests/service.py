"""A real `trimtab serve` in a process of its own, for tests through the front door."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

TRIMTAB = Path(sys.executable).with_name("trimtab")
EXAMPLES = Path(__file__).parents[1] / "examples"

SMALL: dict[str, Any] = {
    "model": {
        "kind": "transformer",
        "architecture": "encoder_only",
        "encoder_layers": 2,
        "d_model": 32,
        "num_heads": 4,
    },
    "training": {"batch_size": 4, "sequence_length": 16},
}
"""A request that takes a fraction of a second."""

LONG: dict[str, Any] = {
    "model": SMALL["model"] | {"encoder_layers": 300, "d_model": 128, "scheme": "pre_ln"},
    "training": {"batch_size": 16, "sequence_length": 64},
}
"""A request that takes many seconds, for tests that interrupt it."""


class Service:
    """A running `trimtab serve`."""

    def __init__(
        self, home: Path, settings: Mapping[str, str] | None = None, port: int = 0
    ) -> None:
        self.home = home
        self.settings = dict(settings or {})
        self.database_url = (settings or {}).get(
            "TRIMTAB_DATABASE_URL", f"sqlite:///{home / 'trimtab.db'}"
        )
        home.mkdir(parents=True, exist_ok=True)
        self._terminal = (home / "terminal.log").open("ab")
        self.process = subprocess.Popen(
            [TRIMTAB, "serve", "--port", str(port)],
            env=environment(home) | dict(settings or {}),
            stdout=subprocess.PIPE,
            stderr=self._terminal,
            text=True,
        )
        assert self.process.stdout is not None
        announcement = self.process.stdout.readline()
        if not announcement:
            raise AssertionError((home / "terminal.log").read_text())
        self.url = announcement.split()[3].rstrip(";")
        self.http = httpx.Client(base_url=self.url, timeout=100)

    def wait_until_ready(self) -> None:
        until(lambda: self.http.get("/readyz").status_code == 200)

    def diagnose(self, body: dict[str, Any], wait: float = 60) -> dict[str, Any]:
        """A new job, finished."""
        query = {"wait": wait, "fresh": True}
        answer = self.http.post("/v1/diagnoses", params=query, json=body)
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def submit(self, body: dict[str, Any]) -> str:
        """The id of the new job."""
        answer = self.http.post("/v1/diagnoses", params={"fresh": True}, json=body)
        assert answer.status_code in (200, 202), answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str, wait: float = 0) -> dict[str, Any]:
        job: dict[str, Any] = self.http.get(f"/v1/diagnoses/{job_id}", params={"wait": wait}).json()
        return job

    def submit_and_see_running(self, body: dict[str, Any]) -> str:
        job_id = self.submit(body)
        until(lambda: self.job(job_id)["state"] == "running")
        return job_id

    def worker(self, queues: str = "short") -> int | None:
        """Process id of the worker for these jobs, if there is one just now."""
        mine = children(self.process.pid)
        return next((pid for pid in mine if f"worker-{queues}-" in command(pid)), None)

    def stop(self) -> int:
        """End it politely; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def clean_up(self) -> None:
        """End what a failed test may have left."""
        if self.process.poll() is None:
            self.stop()

    def kill(self) -> None:
        self.process.kill()
        self._ended()

    def _ended(self) -> int:
        status = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._terminal.close()
        self.http.close()
        return status


def environment(home: Path) -> dict[str, str]:
    """The environment of a service or command whose state is in `home`."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TRIMTAB_")}
    return inherited | {
        "TRIMTAB_HOME": str(home),
        "TRIMTAB_DEVICE": "cpu",
        "TRIMTAB_LEASE_SECONDS": "3",
        "OMP_NUM_THREADS": "1",
    }


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that will be."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on."""
    return [found for child in children(pid) for found in (child, *descendants(child))]


def children(pid: int) -> list[int]:
    return [child for child, parent in _parents().items() if parent == pid]


def pool_process(worker: int) -> int:
    """The process of a worker that does its jobs; the other is small."""
    return max(children(worker), key=_resident_pages)


def _resident_pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0


def is_alive(pid: int) -> bool:
    return pid in _parents()


def command(pid: int) -> str:
    """The command line, its words parted by zero bytes."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return ""
    listing = subprocess.check_output(["ps", "-o", "command=", "-p", str(pid)], text=True)
    return "\0".join(listing.split())


def _parents() -> dict[int, int]:
    """The parent of each process that is not a zombie."""
    if not Path("/proc/self/stat").exists():
        listing = subprocess.check_output(["ps", "-Ao", "pid=,ppid=,stat="], text=True)
        rows = [line.split() for line in listing.splitlines()]
        return {int(pid): int(parent) for pid, parent, state in rows if state[0] != "Z"}
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The command's name, in brackets, may hold anything.
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            found[int(stat.parent.name)] = int(parent)
    return found

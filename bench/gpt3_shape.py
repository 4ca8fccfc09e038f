"""GPT-3's shape through the HTTP API: the time it takes, and the memory at its highest.

    python -m bench.gpt3_shape

96 layers of width 12288 with 96 heads, 175 billion weights, which no usual machine holds; a worker
profiles them a sub-layer at a time. Prints the stage and share of the job as it goes on, and adds
what came out to bench/results/gpt3_shape.jsonl. Expect about an hour of processor time.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench.performance import machine
from tests.service import Service, descendants

RESULTS = Path("bench/results/gpt3_shape.jsonl")

REQUEST: dict[str, Any] = {
    "model": {
        "kind": "transformer",
        "architecture": "decoder_only",
        "decoder_layers": 96,
        "d_model": 12_288,
        "num_heads": 96,
    },
    "training": {"batch_size": 4, "sequence_length": 32},
    "analyses": ["omega"],
}


class PeakMemory:
    """Asks, twice a second, what the processes of a service hold in memory."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.of_all = 0.0
        self.of_one = 0.0
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(0.5):
            sizes = [proportional(pid) for pid in (self._pid, *descendants(self._pid))]
            self.of_all = max(self.of_all, sum(sizes))
            self.of_one = max(self.of_one, *sizes)


def proportional(pid: int) -> float:
    """GiB of a process, of pages that several share its part only."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in rollup.splitlines() if "Pss:" in line) / 2**20


def cpu_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpt3_shape", description=__doc__)
    parser.add_argument("--layers", type=int, default=96)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu", help="TRIMTAB_DEVICE of the worker")
    asked = parser.parse_args()
    request = REQUEST | {"model": REQUEST["model"] | {"decoder_layers": asked.layers}}
    about = machine()
    settings = {
        "OMP_NUM_THREADS": str(asked.threads),
        "TRIMTAB_DEVICE": asked.device,
        "TRIMTAB_JOB_TIME_LIMIT_SECONDS": "20000",
    }
    with tempfile.TemporaryDirectory(prefix="tt-") as home:
        service = Service(Path(home), settings)
        try:
            service.wait_until_ready()
            memory = PeakMemory(service.process.pid)
            started = time.monotonic()
            try:
                job, seconds = followed(service, request)
            finally:
                memory.stop()
            wall = time.monotonic() - started
        finally:
            service.stop()
    if job["state"] != "succeeded":
        raise SystemExit(f"The job {job['state']}: {job['error']}")
    branches = job["report"]["branches"]
    row = {
        "layers": asked.layers,
        "threads": asked.threads,
        "device": asked.device,
        "minutes": wall / 60,
        "cpu_minutes": seconds / 60,
        "peak_gib_of_all": memory.of_all,
        "peak_gib_of_one": memory.of_one,
        "attempts": len(job["attempts"]),
        "omegas": [branch["omega"] for branch in branches],
        "machine": about,
    }
    print(
        f"{asked.layers} layers in {row['minutes']:.1f} minutes by the clock, "
        f"{row['cpu_minutes']:.1f} of processors; at most {memory.of_one:.2f} GiB in one process, "
        f"{memory.of_all:.2f} GiB in all of the service; {len(branches)} omegas, the last "
        f"{branches[-1]['omega']:.4f}."
    )
    with RESULTS.open("a") as history:
        history.write(json.dumps(row) + "\n")


def followed(service: Service, request: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """The finished job, and the processor seconds that the service took for it."""
    job_id = service.submit(request)
    said = None
    while True:
        job = service.job(job_id, wait=20)
        seconds = cpu_seconds(descendants(service.process.pid))
        progress = job.get("progress")
        if progress != said:
            print(time.strftime("%H:%M:%S"), job["state"], json.dumps(progress), flush=True)
            said = progress
        if job["state"] not in ("queued", "running"):
            return job, seconds


if __name__ == "__main__":
    main()

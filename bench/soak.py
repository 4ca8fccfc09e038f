"""Mixed work for half an hour, and what memory each process of the service holds meanwhile.

    python -m bench.soak --minutes 30

Prints, for each process, the mean resident size of each sixth of the time. Memory that is lost
shows as a row that goes on growing; what is cached shows as one that grew at first.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

import httpx

from tests.service import Service, command, descendants

PARTS = 6

MODEL: dict[str, Any] = {
    "kind": "transformer",
    "architecture": "encoder_only",
    "encoder_layers": 2,
    "d_model": 32,
    "num_heads": 2,
}
TRAINING = {"batch_size": 2, "sequence_length": 16, "steps": 30}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--every-seconds", type=float, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tt-") as home:
        service = Service(Path(home), {"TRIMTAB_RETENTION_SECONDS": "300"})
        try:
            service.wait_until_ready()
            soak(service, asked.minutes * 60, asked.every_seconds)
        finally:
            service.stop()


def soak(service: Service, seconds: float, every_seconds: float) -> None:
    chance = Random(0)
    started = time.monotonic()
    sizes: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    asked: list[str] = []
    failures = 0
    while (now := time.monotonic() - started) < seconds:
        body = {"model": MODEL, "training": TRAINING, "seed": len(asked)}
        path = "/v1/diagnoses"
        if chance.random() < 0.2:
            path = "/v1/races"
            body = {"model": MODEL, "training": TRAINING, "arms": ["post_ln", "admin"], "seeds": 1}
        query = {"fresh": True, "wait": 20 if chance.random() < 0.5 else 0}
        try:
            answer = service.http.post(path, params=query, json=body)
            if answer.status_code in (200, 202):
                asked.append(answer.json()["links"]["self"])
                service.http.get(asked[chance.randrange(max(0, len(asked) - 20), len(asked))])
                service.http.get("/v1/jobs")
            else:
                failures += 1
        except httpx.HTTPError:
            failures += 1
        for pid in (service.process.pid, *descendants(service.process.pid)):
            size = resident(pid)
            if size:
                part = min(PARTS - 1, int(PARTS * now / seconds))
                sizes[role(pid)][part].append(size)
        time.sleep(every_seconds)
    states: dict[str, int] = defaultdict(int)
    for found in service.http.get("/v1/jobs", params={"limit": 100}).json()["jobs"]:
        states[found["state"]] += 1
    newest = ", ".join(f"{count} {state}" for state, count in states.items())
    print(f"{len(asked)} jobs in {seconds / 60:.0f} minutes, {failures} requests failed.")
    print(f"The newest: {newest}.")
    print("| process | " + " | ".join(f"MB, part {n + 1}" for n in range(PARTS)) + " |")
    print("| --- |" + " ---: |" * PARTS)
    for name, of_part in sorted(sizes.items()):
        means = [sum(of_part[n]) / max(1, len(of_part[n])) / 1e6 for n in range(PARTS)]
        print(f"| {name} | " + " | ".join(f"{mean:.0f}" for mean in means) + " |")


def role(pid: int) -> str:
    """What a process is for, by its command line."""
    words = command(pid)
    if "trimtab" in words and "serve" in words:
        return "API"
    if "valkey" in words or "redis" in words:
        return "broker"
    if "-m\0worker" in words:
        return f"worker, {'short' if 'worker-short' in words else 'long'}"
    return "pool process" if "spawn_main" in words else "tracker"


def resident(pid: int) -> int:
    try:
        return 1024 * int(
            next(
                line.split()[1]
                for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                if line.startswith("VmRSS")
            )
        )
    except (OSError, StopIteration):
        return 0


if __name__ == "__main__":
    main()

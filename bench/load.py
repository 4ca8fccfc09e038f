"""Submits and reads from 100 clients at once while a worker is busy, beside a bare endpoint.

    python -m bench.load

The bare endpoint (`bench.bare`) does one insert and one LPUSH, on the same kind of database and
broker. Both are asked in turns, by the same clients; a turn's figures are of all its requests.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx

from tests.broker import Broker, free_port
from tests.service import LONG, SMALL, Service, until

CLIENTS = 100

Ask = Callable[[httpx.AsyncClient, int], Awaitable[httpx.Response]]


@dataclass
class Turn:
    """What a turn of requests took."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    wall: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.seconds) / self.wall

    def percentile(self, share: float) -> float:
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--requests", type=int, default=1000, help="of each kind in a turn")
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tt-") as name:
        folder = Path(name)
        limits = {
            "TRIMTAB_RATE_LIMIT": "none",
            "TRIMTAB_SUBMIT_RATE_LIMIT": "none",
            "TRIMTAB_MAX_JOBS_PER_KEY": "1000000",
            "TRIMTAB_MAX_QUEUED_JOBS": "1000000",
        }
        service = Service(folder / "home", limits)
        try:
            service.wait_until_ready()
            with bare(folder) as url:
                run(service, url, asked.requests, asked.turns)
        finally:
            service.stop()


def run(service: Service, bare_url: str, count: int, turns: int) -> None:
    # The worker is busy from here to the end.
    busy = [service.submit(LONG | {"seed": seed}) for seed in range(20)]
    until(lambda: service.job(busy[0])["state"] == "running")
    kinds: dict[str, list[Turn]] = {name: [] for name in ("bare submit", "bare read")}
    kinds |= {"submit": [], "read": []}
    submitted: list[str] = []
    for turn in range(turns):
        seeds = range(turn * count, (turn + 1) * count)
        kept = posted(bare_url, "/rows", seeds)
        made = posted(service.url, "/v1/diagnoses", seeds)
        kinds["bare submit"].append(kept)
        kinds["bare read"].append(looked_for(bare_url, "/rows", kept.ids))
        kinds["submit"].append(made)
        kinds["read"].append(looked_for(service.url, "/v1/diagnoses", made.ids))
        submitted += made.ids
    print("| request | a second | p50 ms | p99 ms | errors |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, found in kinds.items():
        print(
            f"| {name} | {median(t.per_second for t in found):.0f} "
            f"| {1000 * median(t.percentile(0.5) for t in found):.0f} "
            f"| {1000 * median(t.percentile(0.99) for t in found):.0f} "
            f"| {sum(len(t.errors) for t in found)} |"
        )
    pairs = zip(kinds["submit"], kinds["bare submit"], strict=True)
    print(f"submits: {median(a.per_second / b.per_second for a, b in pairs):.2f} of the bare one's")
    pairs = zip(kinds["read"], kinds["bare read"], strict=True)
    print(
        "p99 of a read: "
        f"{median(a.percentile(0.99) / b.percentile(0.99) for a, b in pairs):.2f} of the bare one's"
    )
    lost = [job_id for job_id in set(submitted) if not exists(service, job_id)]
    print(f"jobs submitted: {len(set(submitted))}, lost: {len(lost)}")
    for error in {e for found in kinds.values() for t in found for e in t.errors}:
        print(f"ERROR {error}")


def posted(url: str, path: str, seeds: range) -> Turn:
    async def ask(client: httpx.AsyncClient, number: int) -> httpx.Response:
        return await client.post(path, json=SMALL | {"seed": seeds[number]})

    return asyncio.run(ask_all(url, len(seeds), ask))


def looked_for(url: str, path: str, ids: list[str]) -> Turn:
    async def ask(client: httpx.AsyncClient, number: int) -> httpx.Response:
        return await client.get(f"{path}/{ids[number]}")

    return asyncio.run(ask_all(url, len(ids), ask))


def exists(service: Service, job_id: str) -> bool:
    return service.http.get(f"/v1/diagnoses/{job_id}").status_code == 200


async def ask_all(url: str, count: int, ask: Ask) -> Turn:
    turn = Turn()
    waiting: Iterator[int] = iter(range(count))

    async def go_on(client: httpx.AsyncClient) -> None:
        for number in waiting:
            started = time.perf_counter()
            try:
                answer = await ask(client, number)
            except httpx.HTTPError as error:
                turn.errors.append(type(error).__name__)
                continue
            turn.seconds.append(time.perf_counter() - started)
            if answer.status_code not in (200, 202):
                turn.errors.append(f"{answer.status_code} {answer.text[:200]}")
            else:
                turn.ids.append(answer.json()["id"])

    async with AsyncExitStack() as open_clients:
        # Each with a connection of its own: a pool's search among a hundred would cost more than
        # an answer does.
        clients = [
            await open_clients.enter_async_context(
                httpx.AsyncClient(base_url=url, timeout=120, verify=False)
            )
            for _ in range(CLIENTS)
        ]
        started = time.perf_counter()
        await asyncio.gather(*(go_on(client) for client in clients))
        turn.wall = time.perf_counter() - started
    return turn


@contextmanager
def bare(folder: Path) -> Iterator[str]:
    """The URL of a bare endpoint, on a broker of its own."""
    broker = Broker(folder / "broker")
    env = os.environ | {
        "BARE_DATABASE_URL": f"sqlite:///{folder / 'bare.db'}",
        "BARE_BROKER_URL": broker.url(),
    }
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "uvicorn", "bench.bare:app", "--port", str(port)),
            *("--log-level", "warning", "--no-access-log"),
        ],
        env=env,
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/openapi.json").status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until(answers)
        yield url
    finally:
        process.terminate()
        process.wait()
        broker.stop()


if __name__ == "__main__":
    main()

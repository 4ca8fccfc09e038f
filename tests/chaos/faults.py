"""What goes wrong, each as a function of the engine and of a source of chance."""

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random

import redis

from tests.chaos.engine import Engine, later
from worker.jobs import JobName

Fault = Callable[[Engine, Random, Mapping[str, JobName]], None]
"""The last argument holds the jobs that were accepted so far, and what each is."""


def kill_worker(engine: Engine, chance: Random, _: Mapping[str, JobName]) -> None:
    """A worker with all its processes, by SIGKILL."""
    chance.choice(engine.workers).kill()


def kill_pool_process(engine: Engine, chance: Random, _: Mapping[str, JobName]) -> None:
    """The process that does a worker's jobs, by SIGKILL or SIGSEGV."""
    pid = engine.pool_process(chance.choice(engine.workers))
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, chance.choice([signal.SIGKILL, signal.SIGSEGV]))


def freeze_pool_process(engine: Engine, chance: Random, _: Mapping[str, JobName]) -> None:
    """For longer than its lease lasts: it wakes up as a zombie whose job another attempt has."""
    pid = engine.pool_process(chance.choice(engine.workers))
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        later(6.0, lambda: _wake(pid))


def _wake(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def kill_broker(engine: Engine, chance: Random, _: Mapping[str, JobName]) -> None:
    """By SIGKILL; it comes back with the data that it had on disk."""
    engine.broker.kill()
    later(chance.uniform(0, 2), engine.broker.start).join()


def flush_broker(engine: Engine, chance: Random, _: Mapping[str, JobName]) -> None:
    """All messages are gone."""
    with suppress(redis.exceptions.RedisError):
        engine.broker.client.flushall()


def kill_api(engine: Engine, chance: Random, _: Mapping[str, JobName]) -> None:
    """By SIGKILL, between whichever two instructions."""
    engine.api.kill()


def restart_database(engine: Engine, chance: Random, _: Mapping[str, JobName]) -> None:
    """At once, with every connection cut; SQLite has no server to restart."""
    if engine.postgresql is not None:
        engine.postgresql.restart(down_seconds=chance.uniform(0, 2))


def duplicate_messages(engine: Engine, chance: Random, accepted: Mapping[str, JobName]) -> None:
    """Of some jobs, finished or not, each two times more."""
    for job_id in chance.sample(list(accepted), min(5, len(accepted))):
        for _ in range(2):
            engine.queue.enqueue(accepted[job_id], job_id)


FAULTS: dict[str, tuple[Fault, int]] = {
    "worker killed": (kill_worker, 2),
    "pool process killed": (kill_pool_process, 4),
    "pool process frozen beyond its lease": (freeze_pool_process, 2),
    "broker killed": (kill_broker, 3),
    "broker flushed": (flush_broker, 3),
    "API killed": (kill_api, 3),
    "database restarted": (restart_database, 3),
    "messages duplicated": (duplicate_messages, 4),
}
"""Each with how often it comes, relative to the others."""

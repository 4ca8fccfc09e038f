"""A thread that sends messages which come together in one go.

A batch costs the broker's client about as much as one message does, and those who ask for work need
not wait for it: their jobs are written down.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

import structlog

from worker.jobs import JobName
from worker.settings import DeviceKind

log = structlog.get_logger(__name__)

REST_SECONDS = 0.02
"""After each batch, while the next one gathers. A message that comes after a rest goes at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """That there is a job to be done."""

    name: JobName
    job_id: str
    device_kind: DeviceKind


class Unsent(Protocol):
    """Told the ids of jobs whose messages may not have been sent."""

    def __call__(self, *job_ids: str) -> None: ...


class Sender(threading.Thread):
    """Sends until it is told to stop, and then what is left."""

    def __init__(self, send: Callable[[list[Message]], bool]) -> None:
        super().__init__(name="sender", daemon=True)
        self._send = send
        self._coming: SimpleQueue[tuple[list[Message], Unsent] | None] = SimpleQueue()

    def put(self, messages: list[Message], unsent: Unsent) -> None:
        self._coming.put((messages, unsent))

    def run(self) -> None:
        stopping = False
        while not stopping:
            came = [self._coming.get()]
            while not self._coming.empty():
                came.append(self._coming.get())
            stopping = None in came
            self._send_together([each for each in came if each is not None])
            time.sleep(REST_SECONDS)

    def stop(self) -> None:
        self._coming.put(None)
        self.join()

    def _send_together(self, batch: list[tuple[list[Message], Unsent]]) -> None:
        try:
            if self._send([message for messages, _ in batch for message in messages]):
                return
        except Exception:
            log.exception("messages could not be sent")
        for messages, unsent in batch:
            try:
                unsent(*(message.job_id for message in messages))
            except Exception:
                # The dispatcher sends again what it takes for sent; nobody else sends the next.
                log.exception("jobs without a message could not be told of")

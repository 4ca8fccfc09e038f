"""A stream of server-sent events, read across as many connections as it takes."""

import codecs
import json
from dataclasses import dataclass
from typing import Any

from app.client.flow import BUSY, Answer, Patience, Request, refusal
from app.client.job import Job

LAST = ("diagnosis", "race", "run")
"""Names of the events that end a stream; each is the finished job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    name: str
    """``progress``, ``points``, or at last ``diagnosis``, ``race`` or ``run``."""
    data: dict[str, Any]
    id: str | None = None

    @property
    def job(self) -> Job | None:
        """The finished job, if this is the last event."""
        return Job(self.data) if self.name in LAST else None


class EventReader:
    """Turns bytes into events, and knows where to go on after a connection broke."""

    def __init__(self, job: Job, patience: Patience) -> None:
        self._path = job.links.get("events", f"{job.links['self']}/events")
        self._patience = patience
        self._last_id: str | None = None
        self.finished = False
        self._rest = ""
        self._begin()

    def request(self) -> Request:
        """For the next connection."""
        self._begin()
        headers = {} if self._last_id is None else {"Last-Event-ID": self._last_id}
        return Request(method="GET", path=self._path, headers=headers)

    def opened(self, answer: Answer) -> float | None:
        """Seconds to pause if the service is too busy to stream; None if it streams.

        Raises:
            RefusedError: it will not.
        """
        if answer.status == 200:
            return None
        pause = self._patience.busy(answer) if answer.status in BUSY else None
        if pause is None:
            raise refusal(answer)
        return pause

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are complete with these bytes."""
        self._patience.well()
        # Lines end at \n, \r\n or \r and nowhere else, whatever Unicode calls a line.
        text = self._rest + self._decoder.decode(chunk)
        lines = text.replace("\r\n", "\n").split("\n")
        self._rest = lines.pop()
        found = [self._line(line) for line in lines]
        return [event for event in found if event is not None]

    def ended(self) -> float:
        """Seconds to pause before the next connection, after one that ended in order; the service
        ends a stream early when it is stopped.

        Raises:
            UnreachableError: it is enough.
        """
        return 0.0 if self.finished else self.broken("the stream ended early")

    def broken(self, why: str) -> float:
        """Seconds to pause before the next connection.

        Raises:
            UnreachableError: it is enough.
        """
        return self._patience.lost(why)

    def _begin(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._fields: dict[str, list[str]] = {}

    def _line(self, line: str) -> Event | None:
        if line:
            name, _, value = line.partition(":")
            self._fields.setdefault(name, []).append(value.removeprefix(" "))
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        name = fields.get("event", ["message"])[-1]
        event_id = fields["id"][-1] if "id" in fields else None
        self._last_id = event_id if event_id is not None else self._last_id
        self.finished = name in LAST
        return Event(name=name, data=json.loads("\n".join(fields["data"])), id=event_id)

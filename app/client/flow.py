"""What a call does, without doing it: a flow yields requests and pauses, is sent the answers, and
returns what the caller asked for. One client runs flows in order, another one awaits them.

    yield Request   ◀─ Answer, or LostError is raised at the yield
    yield Pause     ◀─ nothing
"""

import json
import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar

from app.client.errors import RefusedError, UnreachableError

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 8.0
BUSY = (429, 502, 503, 504)
"""Answers that may be another one later."""
UNFINISHED = "urn:trimtab:problem:unfinished"
"""The one problem of status 503 that is no trouble, as it tells of a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. All of them may be sent again: the service then does nothing twice."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    """What is None is left out."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    """Sent as JSON if there is one."""
    file: Path | None = None
    """Sent as it is, piece by piece."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The query as it is sent."""
        return {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in self.query.items()
            if value is not None
        }

    @property
    def content(self) -> bytes | None:
        return None if self.body is None else json.dumps(self.body, allow_nan=False).encode()

    @property
    def all_headers(self) -> dict[str, str]:
        declared = {} if self.body is None else {"content-type": "application/json"}
        return {**declared, **self.headers}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    url: str
    status: int
    headers: Mapping[str, str]
    """Case does not matter."""
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            UnreachableError: it is none, as when something else than Trimtab answers.
        """
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UnreachableError(
                f"{self.url} answers with status {self.status}, but not as Trimtab does. "
                "Is this the address of a Trimtab service?"
            )
        return found


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


class LostError(Exception):
    """The connection broke, or there was none."""


Step = Request | Pause
Flow = Generator[Step, Answer | None, T]


@dataclass(slots=True, kw_only=True)
class Service:
    """The one that a client talks to."""

    url: str
    retry_seconds: float
    """How long trouble is borne, from the first failure on, until something succeeds."""
    met: bool = False
    """Whether it has ever answered; one that has not is not waited for."""


class Patience:
    """With the service, in one call."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._since: float | None = None
        self._pause = FIRST_PAUSE_SECONDS

    def well(self) -> None:
        """Note that the service answers."""
        self._service.met = True
        self._since = None
        self._pause = FIRST_PAUSE_SECONDS

    def lost(self, why: str) -> float:
        """Seconds to pause after a connection broke.

        Raises:
            UnreachableError: it is enough.
        """
        pause = self._again(None)
        if not self._service.met or pause is None:
            raise UnreachableError(
                f"No answer from {self._service.url} ({why}). Start the service with trimtab "
                "serve, or name another with --url or TRIMTAB_URL."
            )
        return pause

    def busy(self, answer: Answer) -> float | None:
        """Seconds to pause after the service was too busy; None if it is enough."""
        self._service.met = True
        return self._again(retry_after(answer))

    def _again(self, asked: float | None) -> float | None:
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        # Not all clients of a service that comes back should come back in the same moment.
        pause = self._pause * random.uniform(0.75, 1.25) if asked is None else asked
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        return pause if now - self._since + pause <= self._service.retry_seconds else None


def retry_after(answer: Answer) -> float | None:
    """Seconds that the answer asks to wait; a number, or a date."""
    said = answer.headers.get("retry-after")
    if said is None:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def answered(request: Request, patience: Patience) -> Flow[Answer]:
    """The answer, whatever it says; asked for again while the connection breaks or the service is
    too busy.

    Raises:
        UnreachableError: there was none in all that time.
    """
    while True:
        try:
            answer = yield request
        except LostError as lost:
            yield Pause(patience.lost(str(lost)))
            continue
        assert answer is not None, "a request is sent an answer"
        if answer.status not in BUSY or is_unfinished(answer):
            patience.well()
            return answer
        pause = patience.busy(answer)
        if pause is None:
            return answer
        yield Pause(pause)


def accepted(request: Request, patience: Patience) -> Flow[Answer]:
    """The answer of a request that succeeds.

    Raises:
        RefusedError: it does not.
        UnreachableError: nobody answers.
    """
    answer = yield from answered(request, patience)
    if answer.status >= 300:
        raise refusal(answer)
    return answer


def is_unfinished(answer: Answer) -> bool:
    """Whether the answer only says that a job is not finished."""
    return answer.status == 503 and UNFINISHED.encode() in answer.body


def refusal(answer: Answer) -> RefusedError:
    return RefusedError(answer.status, answer.json())

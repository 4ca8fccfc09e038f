"""Let a training loop of your own be watched on a Trimtab service.

    with Monitor(model, optimizer) as monitor, push_to(URL, monitor, name="my run"):
        for batch in batches:
            ...
            monitor.step(loss)

The loop is never slowed and never broken: a step costs an entry in a bounded queue, and a thread
sends what is in it. Where the queue is full, the oldest points are dropped and counted; where the
service is gone for a minute or refuses, the thread says so once, as a warning of the logger
``trimtab.push``, and the loop trains on unwatched.
"""

import logging
import threading
import time
import traceback
import uuid
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx

from admin_core.watched_run import MOST_POINTS, RunEnd, StepPoint, WatchedRunSpec
from app.client.connection import connection

if TYPE_CHECKING:
    from admin_core.training.monitor import Monitor

log = logging.getLogger("trimtab.push")

QUEUE_POINTS = 10_000
FIRST_PERIOD_SECONDS = 0.5
LONGEST_PERIOD_SECONDS = 5.0
"""Between two messages; a run of hours need not be seen by the half second."""
SIGN_OF_LIFE_SECONDS = 60.0
"""Between two messages while there is no point to tell."""
PATIENCE_SECONDS = 60.0
"""For a service that does not answer."""
CLOSE_SECONDS = 5.0
"""That the end of the loop may wait for the last points to be told."""
REQUEST_SECONDS = 10.0
MOST_BYTES = 500_000
"""Of one message, below what a service takes; looks at a large model are long."""


class RefusedError(Exception):
    """The service answered, and will not have it."""


def push_to(
    url: str,
    monitor: "Monitor",
    *,
    name: str,
    steps: int | None = None,
    every: int = 1,
    key: str | None = None,
) -> "Push":
    """Push what `monitor` is told to the service at `url`, for as long as the block lasts.

    Args:
        name: of the run.
        steps: planned, for the share that is done.
        every: steps between two points; steps at which the monitor looks are always told.
        key: of the service; TRIMTAB_KEY unless given.

    Raises:
        ValueError: the name is empty or too long, or one of the numbers is below 1.
    """
    if every < 1:
        raise ValueError(f"every is {every}, where 1 or more steps between two points are needed.")
    return Push(url, monitor, WatchedRunSpec(name=name, steps=steps), every=every, key=key)


class Push:
    """A context manager; `run` is the run's address once the service has it."""

    def __init__(
        self,
        url: str,
        monitor: "Monitor",
        spec: WatchedRunSpec,
        *,
        every: int,
        key: str | None = None,
    ) -> None:
        self.run: str | None = None
        self.dropped = 0
        self._url = url
        self._key = key
        self._monitor = monitor
        self._spec = spec
        self._every = every
        self._waiting: deque[StepPoint] = deque(maxlen=QUEUE_POINTS)
        self._lock = threading.Lock()
        self._end: RunEnd | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._send, name="trimtab-push", daemon=True)

    def __enter__(self) -> Self:
        self._monitor.on_point = self._take
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._monitor.on_point = None
        self._end = RunEnd(
            state="succeeded" if kind is None else "failed",
            detail=None if kind is None else _last_words(kind, error),
            findings=self._monitor.section().findings,
            dropped_points=self.dropped,
        )
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)

    def _take(self, point: StepPoint) -> None:
        if point.step % self._every and point.watch is None:
            return
        with self._lock:
            if len(self._waiting) == QUEUE_POINTS:
                self.dropped += 1
            self._waiting.append(point)

    def _send(self) -> None:
        try:
            options = connection(self._url, self._key, PATIENCE_SECONDS).options
            with httpx.Client(**options | {"timeout": REQUEST_SECONDS}) as client:
                self._send_until_closed(client)
        except Exception as error:
            # Whatever it is, it is no reason to disturb the loop.
            self._monitor.on_point = None
            self._waiting.clear()
            log.warning(
                "%r is no longer watched at %s (%s); it trains on",
                *(self._spec.name, self._url, error),
            )

    def _send_until_closed(self, client: httpx.Client) -> None:
        begun = heard = time.monotonic()
        key = uuid.uuid4().hex
        while True:
            age = time.monotonic() - begun
            period = min(max(FIRST_PERIOD_SECONDS, age / 1_000), LONGEST_PERIOD_SECONDS)
            closing = self._closing.wait(period)
            silent = time.monotonic() - heard
            if not self._waiting and not closing and silent < SIGN_OF_LIFE_SECONDS and self.run:
                continue
            try:
                if self.run is None:
                    self.run = self._begin(client, key)
                self._push(client, self.run)
                if closing and not self._waiting and self._end is not None:
                    _post(client, f"{self.run}/finish", self._end.model_dump_json())
                    return
                heard = time.monotonic()
            except httpx.TransportError:
                # Connections break; what was not told waits on. An end does not.
                if closing or silent > PATIENCE_SECONDS:
                    raise

    def _begin(self, client: httpx.Client, key: str) -> str:
        begun = _post(client, "/v1/runs", self._spec.model_dump_json(), {"Idempotency-Key": key})
        return str(begun["links"]["self"])

    def _push(self, client: httpx.Client, run: str) -> None:
        """Tell what waits now, as much as one message holds; the rest waits for the next time."""
        # The loop waits for the lock, so that nothing slow is done under it.
        with self._lock:
            points = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_POINTS))]
        bodies: list[str] = []
        size = 0
        for point in points:
            body = point.model_dump_json()
            if len(body) > MOST_BYTES:
                body = point.model_copy(update={"watch": None}).model_dump_json()
            size += len(body)
            if size > MOST_BYTES:
                break
            bodies.append(body)
        self._put_back(points[len(bodies) :])
        try:
            _post(client, f"{run}/points", f'{{"points":[{",".join(bodies)}]}}')
        except httpx.TransportError:
            # Should the service have them after all: it leaves out the steps that it knows.
            self._put_back(points[: len(bodies)])
            raise

    def _put_back(self, points: list[StepPoint]) -> None:
        """Before those that came meanwhile; where there is no room, the oldest are dropped."""
        with self._lock:
            room = QUEUE_POINTS - len(self._waiting)
            kept = points[max(0, len(points) - room) :]
            self.dropped += len(points) - len(kept)
            self._waiting.extendleft(reversed(kept))


def _last_words(kind: type[BaseException], error: BaseException | None) -> str:
    """The last line of a traceback, as text that can be sent."""
    said = "".join(traceback.format_exception_only(kind, error)).strip()
    return said.encode("utf-8", "replace").decode()[:500]


def _post(
    client: httpx.Client, path: str, body: str, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """The answer.

    Raises:
        httpx.TransportError: there was none, or one of a server in trouble: try again.
        RefusedError: the service will not have it.
    """
    sent = {"content-type": "application/json", **(headers or {})}
    answer = client.post(path, content=body, headers=sent)
    if answer.status_code == 429 or answer.status_code >= 500:
        raise httpx.ReadError(f"status {answer.status_code}")
    try:
        said: dict[str, Any] = answer.json()
    except ValueError:
        raise RefusedError(f"no Trimtab service answers there: {answer.status_code}") from None
    if answer.status_code >= 300:
        raise RefusedError(said.get("detail") or said.get("title") or answer.status_code)
    return said

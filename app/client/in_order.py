"""The client for programs that do one thing after another."""

import time
from collections.abc import Callable, Iterator
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

import httpx

from app.client.calls import Calls
from app.client.connection import RETRY_SECONDS, answer_of, arguments, connection
from app.client.events import Event, EventReader
from app.client.flow import Answer, Flow, LostError, Request
from app.client.job import Job

P = ParamSpec("P")
T = TypeVar("T")


def _call(
    flow: Callable[Concatenate[Calls, P], Flow[T]],
) -> Callable[Concatenate["Trimtab", P], T]:
    """The method that runs a flow to its end."""

    @wraps(flow)
    def method(self: "Trimtab", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(flow(self._calls, *args, **kwargs))

    return method


class Trimtab:
    """A Trimtab service.

        with Trimtab("http://127.0.0.1:8000") as trimtab:
            report = trimtab.run({"model": {...}}).result()

    Args:
        url: of the service; TRIMTAB_URL, or this machine's port 8000, unless given.
        key: TRIMTAB_KEY unless given.
        retry_seconds: how long a broken connection or a busy service (429, 502, 503, 504) is tried
            again, by `Retry-After` where it says one. A service that has never answered this
            client is not waited for.

    Every method may raise `UnreachableError` and `RefusedError`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        found = connection(url, key, retry_seconds)
        self.url = found.service.url
        self._calls = Calls(found.service)
        self._http = httpx.Client(**found.options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    submit = _call(Calls.submit)
    run = _call(Calls.run)
    job = _call(Calls.job)
    wait = _call(Calls.wait)
    cancel = _call(Calls.cancel)
    jobs = _call(Calls.jobs)
    gate = _call(Calls.gate)
    verify = _call(Calls.verify)
    report_file = _call(Calls.report_file)
    omega = _call(Calls.omega)
    curves = _call(Calls.curves)
    compare = _call(Calls.compare)
    keep_report = _call(Calls.keep_report)
    presets = _call(Calls.presets)
    upload_dataset = _call(Calls.upload_dataset)
    datasets = _call(Calls.datasets)
    delete_dataset = _call(Calls.delete_dataset)

    def events(self, job: Job | str) -> Iterator[Event]:
        """What happens to a job, as it happens; the last event is the finished job. A connection
        that breaks is made anew, and goes on after the last event seen."""
        found = job if isinstance(job, Job) else self.job(job)
        reader = EventReader(found, self._calls.patience())
        while not reader.finished:
            try:
                with self._http.stream(**arguments(reader.request())) as response:
                    body = b"" if response.status_code == 200 else response.read()
                    pause = reader.opened(answer_of(response, body))
                    if pause is None:
                        for chunk in response.iter_bytes():
                            yield from reader.feed(chunk)
                        pause = reader.ended()
            except httpx.TransportError as error:
                pause = reader.broken(str(error))
            time.sleep(pause)

    def _run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                if not isinstance(step, Request):
                    time.sleep(step.seconds)
                    step = flow.send(None)
                    continue
                try:
                    answer = self._send(step)
                except httpx.TransportError as error:
                    step = flow.throw(LostError(str(error) or type(error).__name__))
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    def _send(self, request: Request) -> Answer:
        if request.file is None:
            response = self._http.request(**arguments(request))
        else:
            with request.file.open("rb") as file:
                response = self._http.request(**arguments(request) | {"content": file})
        return answer_of(response, response.content)

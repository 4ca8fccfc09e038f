"""The client for programs that await; it has the same calls as the one in `in_order`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from app.client.calls import Calls
from app.client.connection import RETRY_SECONDS, answer_of, arguments, connection
from app.client.events import Event, EventReader
from app.client.flow import Answer, Flow, LostError, Request
from app.client.job import Job

P = ParamSpec("P")
T = TypeVar("T")

CHUNK_BYTES = 65_536


def _call(
    flow: Callable[Concatenate[Calls, P], Flow[T]],
) -> Callable[Concatenate["AsyncTrimtab", P], Coroutine[Any, Any, T]]:
    """The method that awaits a flow to its end."""

    @wraps(flow)
    async def method(self: "AsyncTrimtab", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(flow(self._calls, *args, **kwargs))

    return method


class AsyncTrimtab:
    """A Trimtab service; see `Trimtab` for the arguments.

    async with AsyncTrimtab("http://127.0.0.1:8000") as trimtab:
        report = (await trimtab.run({"model": {...}})).result()
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
        self._http = httpx.AsyncClient(**found.options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

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

    async def events(self, job: Job | str) -> AsyncIterator[Event]:
        """What happens to a job, as it happens; the last event is the finished job. A connection
        that breaks is made anew, and goes on after the last event seen."""
        found = job if isinstance(job, Job) else await self.job(job)
        reader = EventReader(found, self._calls.patience())
        while not reader.finished:
            try:
                async with self._http.stream(**arguments(reader.request())) as response:
                    body = b"" if response.status_code == 200 else await response.aread()
                    pause = reader.opened(answer_of(response, body))
                    if pause is None:
                        async for chunk in response.aiter_bytes():
                            for event in reader.feed(chunk):
                                yield event
                        pause = reader.ended()
            except httpx.TransportError as error:
                pause = reader.broken(str(error))
            await asyncio.sleep(pause)

    async def _run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                if not isinstance(step, Request):
                    await asyncio.sleep(step.seconds)
                    step = flow.send(None)
                    continue
                try:
                    answer = await self._send(step)
                except httpx.TransportError as error:
                    step = flow.throw(LostError(str(error) or type(error).__name__))
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _send(self, request: Request) -> Answer:
        sent = arguments(request)
        if request.file is not None:
            sent["content"] = _pieces(request.file)
        response = await self._http.request(**sent)
        return answer_of(response, response.content)


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield piece

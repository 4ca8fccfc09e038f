"""Figures and HTML reports for the API, drawn in processes of their own and remembered.

What draws them takes 140 MB and half a second to come up, and a bug of it ends its process. So the
server does not load it, and no job waits behind it in the queue: the first request for something
starts a process that draws it and ends, which takes about a second, and later ones read it from
memory. Reports never change, so that what was drawn stays right.
"""

import asyncio
import json
import sys
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import structlog

from worker.jobs import Job, JobName

log = structlog.get_logger(__name__)

TIME_LIMIT_SECONDS = 60.0
MOST_BYTES = 64 * 1024 * 1024
"""That are remembered; what was not asked for the longest goes first."""


class DrawingError(Exception):
    """The process that draws has failed; the log says how."""


class Drawing:
    """Draws one thing at a time, as two would not be done earlier on a small machine."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()
        self._drawn: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self._bytes = 0

    async def html(self, job: Job, *, title: str) -> bytes:
        """The report as a page.

        Raises:
            DrawingError: it could not be drawn.
        """
        key = (job.id, "html")
        if key not in self._drawn:
            async with self._one_at_a_time:
                # Who waited here may have waited for just this.
                if key not in self._drawn:
                    self._remember(key, await _draw(job, "html", "--title", title))
        return self._recall(key)

    async def svg(self, job: Job, name: str, *, theme: str, layout: str = "wide") -> bytes:
        """One figure; those beside it are drawn with it, as most of the time goes into the first.

        Raises:
            DrawingError: it could not be drawn.
        """
        key = (job.id, "svg", theme, layout, name)
        if key not in self._drawn:
            async with self._one_at_a_time:
                if key not in self._drawn:
                    arguments = ("--theme", theme, "--layout", layout)
                    figures = json.loads(await _draw(job, "svg", *arguments))
                    others = {other: svg for other, svg in figures.items() if other != name}
                    # Last, so that it is the last to be forgotten.
                    for each, drawn in {**others, name: figures[name]}.items():
                        self._remember((job.id, "svg", theme, layout, each), drawn.encode())
        return self._recall(key)

    async def png(self, job: Job, name: str, *, theme: str) -> bytes:
        """One figure as a picture.

        Raises:
            DrawingError: it could not be drawn.
        """
        key = (job.id, "png", theme, name)
        if key not in self._drawn:
            async with self._one_at_a_time:
                if key not in self._drawn:
                    arguments = ("--theme", theme, "--figure", name)
                    self._remember(key, await _draw(job, "png", *arguments))
        return self._recall(key)

    async def comparison(
        self, reports: Mapping[str, Job], name: str, *, theme: str, layout: str = "wide"
    ) -> bytes:
        """One figure of several finished jobs together, by their labels.

        Raises:
            DrawingError: it could not be drawn.
        """
        ids = ",".join(f"{label} {job.id}" for label, job in reports.items())
        key = (ids, "comparison", theme, layout, name)
        if key not in self._drawn:
            async with self._one_at_a_time:
                if key not in self._drawn:
                    given = {
                        "reports": {
                            label: {"kind": _kind(job), "report": job.report}
                            for label, job in reports.items()
                        }
                    }
                    words = ("comparison", "svg", "--theme", theme, "--layout", layout)
                    figures = json.loads(await _answer_of(given, *words, job_id=ids))
                    others = {other: svg for other, svg in figures.items() if other != name}
                    for each, drawn in {**others, name: figures[name]}.items():
                        self._remember((ids, "comparison", theme, layout, each), drawn.encode())
        return self._recall(key)

    def _remember(self, key: tuple[str, ...], drawn: bytes) -> None:
        self._bytes += len(drawn) - len(self._drawn.pop(key, b""))
        self._drawn[key] = drawn
        while self._bytes > MOST_BYTES and len(self._drawn) > 1:
            self._bytes -= len(self._drawn.popitem(last=False)[1])

    def _recall(self, key: tuple[str, ...]) -> bytes:
        self._drawn.move_to_end(key)
        return self._drawn[key]


async def _draw(job: Job, *arguments: str) -> bytes:
    given: dict[str, Any] = {"report": job.report, "request": job.spec}
    return await _answer_of(given, _kind(job), *arguments, job_id=job.id)


def _kind(job: Job) -> str:
    # A report that was pushed is a diagnosis's.
    return JobName.RACE if job.kind == JobName.RACE else JobName.DIAGNOSIS


async def _answer_of(given: dict[str, Any], *arguments: str, job_id: str) -> bytes:
    """The answer of `python -m admin_core.report_files`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "admin_core.report_files", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(TIME_LIMIT_SECONDS):
            drawn, said = await process.communicate(json.dumps(given).encode())
    except TimeoutError:
        log.error("drawing took too long", job_id=job_id, what=arguments[1])
        raise DrawingError from None
    finally:
        # Also when the request is gone, or the service stops.
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        tail = said.decode(errors="replace")[-2000:]
        log.error("drawing failed", job_id=job_id, what=arguments[1], said=tail)
        raise DrawingError
    return drawn

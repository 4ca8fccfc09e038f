import asyncio
from typing import Any

import pytest

from app import drawing
from app.drawing import Drawing, DrawingError
from tests.admin_core.reports import diagnosis
from worker.jobs import Job, JobName, State


def job(report: dict[str, Any]) -> Job:
    """A finished diagnosis."""
    return Job(
        id="a-job",
        key_id="",
        kind=JobName.DIAGNOSIS,
        state=State.SUCCEEDED,
        outcome=None,
        stage=None,
        share=1.0,
        cancel_requested=False,
        created_at=0.0,
        started_at=0.0,
        finished_at=0.0,
        spec={},
        report=report,
        problem=None,
        attempts=[],
    )


def test_what_was_drawn_is_remembered_and_the_oldest_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drawing, "MOST_BYTES", 60_000)

    async def look() -> None:
        here = Drawing()
        finished = job(diagnosis().model_dump(mode="json"))
        first = await here.svg(finished, "omega", theme="light")
        # The other figures of the report were drawn with it, and some forgotten again.
        assert 1 < len(here._drawn) < 6
        assert await here.svg(finished, "omega", theme="light") is first
        assert sum(map(len, here._drawn.values())) == here._bytes <= 60_000

    asyncio.run(look())


def test_a_process_that_fails_is_told_of_and_the_next_one_is_not_harmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def look() -> None:
        here = Drawing()
        with pytest.raises(DrawingError):
            await here.html(job({"no": "report"}), title="x")
        monkeypatch.setattr(drawing, "TIME_LIMIT_SECONDS", 0.01)
        with pytest.raises(DrawingError):
            await here.html(job(diagnosis().model_dump(mode="json")), title="x")
        monkeypatch.undo()
        drawn = await here.html(job(diagnosis().model_dump(mode="json")), title="x")
        assert drawn.startswith(b"<!doctype html>")

    asyncio.run(look())

"""A diagnosis as it runs, as server-sent events.

progress    how far it is, whenever that has changed; its id is the same whenever it says the same,
            so that a reader who comes back with it is told only what is new
diagnosis   the finished job; the stream ends with it
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from app.auth import CallerDep
from app.deps import StoreDep, WaitingDep
from app.job_answers import DIAGNOSES, find_job
from app.job_view import job_json, progress_json
from app.problems import documented
from app.streams import StreamPlace
from worker import jobs
from worker.jobs import FINISHED, Job

router = APIRouter(prefix="/v1/diagnoses", tags=["diagnoses"])

POLL_SECONDS = 0.25


def _diagnosis_id(job_id: str, store: StoreDep, caller: CallerDep) -> str:
    # Before the stream begins, after which there can be no other status.
    return find_job(store, caller, job_id, *DIAGNOSES).id


@router.get(
    "/{job_id}/events", response_class=EventSourceResponse, responses=documented(404, 422, 500)
)
async def watch_diagnosis(
    diagnosis_id: Annotated[str, Depends(_diagnosis_id)],
    store: StoreDep,
    waiting: WaitingDep,
    place: StreamPlace,
    last_event_id: Annotated[
        str | None,
        Header(max_length=200, description="Of the last event seen; it is not told again."),
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Progress as it comes, until the diagnosis is finished."""
    while not waiting.closed:
        job = await run_in_threadpool(jobs.get, store, diagnosis_id)
        if job is None:
            return
        if job.state in FINISHED:
            yield ServerSentEvent(event="diagnosis", data=job_json(job))
            return
        if last_event_id != _event_id(job):
            last_event_id = _event_id(job)
            yield ServerSentEvent(
                event="progress",
                id=last_event_id,
                data={"state": job.state, **progress_json(job)},
            )
        await waiting.until_finished(diagnosis_id, seconds=POLL_SECONDS)


def _event_id(job: Job) -> str:
    """What tells one progress from another, the attempt included."""
    return f"{len(job.attempts)}-{job.state}-{job.share:.4f}-{job.stage or ''}"

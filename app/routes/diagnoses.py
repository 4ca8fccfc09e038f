"""Diagnoses: submit, look, wait, cancel; and the list of all jobs."""

import hashlib
import json
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response, status
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from admin_core.report import Outcome
from admin_core.size import check_limits
from admin_core.spec import DiagnosisSpec
from app.body import JsonRoute
from app.deps import QueueDep, SettingsDep, StoreDep, Wait, WaitingDep
from app.job_view import JobPage, JobView, job_json, job_path, summary_view
from app.problems import NOT_FOUND, ProblemError, documented
from worker import jobs
from worker.jobs import FINISHED, Job, JobName, State
from worker.queue import Queue
from worker.settings import Settings
from worker.store import Store

router = APIRouter(prefix="/v1", tags=["diagnoses"], route_class=JsonRoute)


@router.post(
    "/diagnoses",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=JobView,
    responses={
        200: {"model": JobView, "description": "Finished within `wait`."},
        202: {"description": "Accepted; `Location` says where to look."},
        **documented(400, 413, 415, 422, 500),
    },
)
async def submit_diagnosis(
    spec: DiagnosisSpec,
    settings: SettingsDep,
    store: StoreDep,
    queue: QueueDep,
    waiting: WaitingDep,
    wait: Wait = 0,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            description="The same key and body again give the same job again.",
        ),
    ] = None,
) -> Response:
    """Ask whether a model will train. With `wait`, the answer may come at once."""
    job_id = await run_in_threadpool(
        submit, spec, settings, store, queue, idempotency_key=idempotency_key
    )
    await waiting.until_finished(job_id, seconds=wait)
    job = await run_in_threadpool(find, store, job_id)
    done = job.state in FINISHED
    return JSONResponse(
        job_json(job), 200 if done else 202, {"Location": job_path(job_id), "ETag": etag(job)}
    )


@router.get(
    "/diagnoses/{job_id}",
    response_model=JobView,
    responses={
        304: {"description": "Still as the `ETag` in `If-None-Match` says."},
        **documented(404, 422, 500),
    },
)
async def get_diagnosis(
    job_id: str, request: Request, store: StoreDep, waiting: WaitingDep, wait: Wait = 0
) -> Response:
    """The job as it is now, or once it is finished, if that is within `wait`."""
    await run_in_threadpool(find, store, job_id)
    await waiting.until_finished(job_id, seconds=wait)
    job = await run_in_threadpool(find, store, job_id)
    tag = etag(job)
    known = {item.strip() for item in request.headers.get("if-none-match", "").split(",")}
    if tag in known or "*" in known:
        return Response(status_code=304, headers={"ETag": tag})
    return JSONResponse(job_json(job), headers={"ETag": tag})


@router.delete(
    "/diagnoses/{job_id}",
    response_model=JobView,
    responses={
        202: {"model": JobView, "description": "Running; asked to stop, which takes 2 seconds."},
        **documented(404, 500),
    },
)
def cancel_diagnosis(job_id: str, store: StoreDep) -> Response:
    """Cancel. A finished job stays as it is."""
    find(store, job_id)
    jobs.cancel(store, job_id)
    job = find(store, job_id)
    return JSONResponse(job_json(job), 200 if job.state in FINISHED else 202)


@router.get("/jobs", tags=["jobs"], responses=documented(422, 500))
def list_jobs(
    store: StoreDep,
    kind: JobName | None = None,
    state: State | None = None,
    outcome: Outcome | None = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Jobs on a page.")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=36, description="The `next_cursor` of the page before.")
    ] = None,
) -> JobPage:
    """All jobs, newest first."""
    # One more than asked for shows whether there is another page.
    found = jobs.newest(
        store, limit=limit + 1, before=cursor, kind=kind, state=state, outcome=outcome
    )
    return JobPage(
        jobs=[summary_view(job) for job in found[:limit]],
        next_cursor=found[limit - 1].id if len(found) > limit else None,
    )


def submit(
    spec: DiagnosisSpec,
    settings: Settings,
    store: Store,
    queue: Queue,
    *,
    idempotency_key: str | None = None,
    same_spec_once: bool = False,
) -> str:
    """The id of the job for a spec within the limits; a message for it is on its way."""
    check_limits(spec, settings.limits)
    job_id, new = jobs.submit(
        store, spec, idempotency_key=idempotency_key, same_spec_once=same_spec_once
    )
    # A message that cannot be sent now is sent by the dispatcher.
    if new and queue.enqueue(JobName.DIAGNOSIS, job_id):
        jobs.mark_published(store, job_id)
    return job_id


def find(store: Store, job_id: str) -> Job:
    """The job; raises a 404 problem if there is none."""
    # PostgreSQL refuses text with a zero byte.
    job = None if "\0" in job_id else jobs.get(store, job_id)
    if job is None:
        raise ProblemError(
            NOT_FOUND.problem("There is no job with this id. GET /v1/jobs lists those there are.")
        )
    return job


def etag(job: Job) -> str:
    body = json.dumps(job_json(job), sort_keys=True)
    return f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'

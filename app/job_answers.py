"""How requests about a job of any kind are answered."""

import hashlib
import json
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from app.problems import NO_REPORT, NOT_FOUND, ProblemError, unfinished
from app.waiting import Waiting
from worker import jobs
from worker.jobs import FINISHED, Job, JobName
from worker.store import Store


def find_job(store: Store, job_id: str, kind: JobName) -> Job:
    """The job; raises a 404 problem if there is none of this kind."""
    # PostgreSQL refuses text with a zero byte.
    job = None if "\0" in job_id else jobs.get(store, job_id)
    if job is None or job.kind != kind:
        raise ProblemError(
            NOT_FOUND.problem(
                f"There is no {kind} with this id. GET /v1/jobs lists the jobs that there are."
            )
        )
    return job


async def finished_job(
    store: Store, waiting: Waiting, job_id: str, kind: JobName, wait: float
) -> Job:
    """The job with its report; raises a problem if there is none, or none yet after `wait`
    seconds."""
    await run_in_threadpool(find_job, store, job_id, kind)
    await waiting.until_finished(job_id, seconds=wait)
    job = await run_in_threadpool(find_job, store, job_id, kind)
    if job.state not in FINISHED:
        raise unfinished(job)
    if job.report is None:
        raise ProblemError(
            NO_REPORT.problem(f"The {kind} {job.state}, and has no report.", cause=job.problem)
        )
    return job


def submitted(job: dict[str, Any]) -> Response:
    """Of a job that was asked for, as JSON; says where to look for it."""
    headers = {"Location": job["links"]["self"], "ETag": _etag(job)}
    return JSONResponse(job, _status(job), headers)


def shown(job: dict[str, Any], request: Request) -> Response:
    """Of a job that was looked for, as JSON; nothing if the caller knows it as it is."""
    tag = _etag(job)
    if is_known(tag, request):
        return Response(status_code=304, headers={"ETag": tag})
    return JSONResponse(job, headers={"ETag": tag})


def is_known(tag: str, request: Request) -> bool:
    """Whether the caller has what the `ETag` stands for."""
    known = {item.strip() for item in request.headers.get("if-none-match", "").split(",")}
    return tag in known or "*" in known


def cancelled(job: dict[str, Any]) -> Response:
    """Of a job that was told to stop, as JSON."""
    return JSONResponse(job, _status(job))


def _status(job: dict[str, Any]) -> int:
    return 200 if job["state"] in FINISHED else 202


def _etag(job: dict[str, Any]) -> str:
    body = json.dumps(job, sort_keys=True)
    return f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'

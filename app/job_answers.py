"""How requests about a job of any kind are answered."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request, Response
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool

from app.auth import Caller
from app.job_view import job_path
from app.problems import NO_REPORT, NO_VERDICT, NOT_FOUND, ProblemError, unfinished
from app.waiting import Waiting
from worker import jobs
from worker.jobs import FINISHED, Job, JobName
from worker.problem import FieldError
from worker.store import Store

DIAGNOSES = (JobName.DIAGNOSIS, JobName.REPORT)
"""Kinds of a job whose report is a diagnosis's, made here or pushed."""


def find_job(
    store: Store, caller: Caller, job_id: str, kind: JobName, *other_kinds: JobName
) -> Job:
    """The job; raises a 404 problem if there is none of these kinds that the caller may see."""
    job = _job(store, caller, job_id, kind, *other_kinds)
    if job is None:
        raise ProblemError(NOT_FOUND.problem(_no_such(kind)))
    return job


def named_diagnosis(store: Store, caller: Caller, job_id: str, *, field: str) -> Job:
    """The diagnosis, made here or pushed, that a request names in `field`; raises a 404 problem
    that says so if there is none."""
    job = _job(store, caller, job_id, *DIAGNOSES)
    if job is None:
        message = _no_such(JobName.DIAGNOSIS)
        raise ProblemError(
            NOT_FOUND.problem(
                f"{field}: {message}",
                errors=[FieldError(field=field, message=message, type="not_found")],
            )
        )
    return job


def _job(store: Store, caller: Caller, job_id: str, *kinds: JobName) -> Job | None:
    # PostgreSQL refuses text with a zero byte.
    job = None if "\0" in job_id else jobs.get(store, job_id)
    return job if job is not None and job.kind in kinds and caller.sees(job.key_id) else None


def _no_such(kind: JobName) -> str:
    return f"There is no {kind} with this id. GET /v1/jobs lists the jobs that there are."


async def finished_job(
    store: Store,
    waiting: Waiting,
    caller: Caller,
    job_id: str,
    kinds: Sequence[JobName],
    wait: float,
) -> Job:
    """The job with its report; raises a problem if there is none of these kinds, or no report yet
    after `wait` seconds."""
    await run_in_threadpool(find_job, store, caller, job_id, *kinds)
    await waiting.until_finished(job_id, seconds=wait)
    job = await run_in_threadpool(find_job, store, caller, job_id, *kinds)
    if job.state not in FINISHED:
        raise unfinished(job)
    if job.report is None:
        raise ProblemError(
            NO_REPORT.problem(f"The {job.kind} {job.state}, and has no report.", cause=job.problem)
        )
    return job


def no_verdict(job: Job) -> ProblemError:
    """Of a finished diagnosis that has none."""
    return ProblemError(
        NO_VERDICT.problem(
            why_no_verdict(job),
            state=job.state,
            cause=job.problem,
            links={"diagnosis": job_path(job.id)},
        )
    )


def why_no_verdict(job: Job) -> str:
    if job.problem:
        return f"The diagnosis {job.state}: {job.problem.get('detail', job.problem['title'])}"
    if job.report:
        reason = job.report.get("unavailable", {}).get("verdict")
        if reason:
            return f"There is nothing to judge. {reason}"
        return "The diagnosis was asked for without its verdict; submit it with all analyses."
    return f"The diagnosis was {job.state}."


def submitted(job: dict[str, Any], *, reused: bool) -> Response:
    """Of a job that was asked for, as JSON; says where to look for it.

    Args:
        reused: whether the job was there before the request; its `links` then say so.
    """
    headers = {"Location": job["links"]["self"], "ETag": _etag(job)}
    if reused:
        job = job | {"links": job["links"] | {"reused": job["links"]["self"]}}
    return _json(job, _status(job), headers)


def shown(job: dict[str, Any], request: Request) -> Response:
    """Of a job that was looked for, as JSON; nothing if the caller knows it as it is."""
    tag = _etag(job)
    if is_known(tag, request):
        return Response(status_code=304, headers={"ETag": tag})
    return _json(job, 200, {"ETag": tag})


def is_known(tag: str, request: Request) -> bool:
    """Whether the caller has what the `ETag` stands for."""
    known = {item.strip() for item in request.headers.get("if-none-match", "").split(",")}
    return tag in known or "*" in known


def cancelled(job: dict[str, Any]) -> Response:
    """Of a job that was told to stop, as JSON."""
    return _json(job, _status(job))


def _json(
    job: dict[str, Any], status_code: int, headers: Mapping[str, str] | None = None
) -> Response:
    # By pydantic's writer: a report may be long, and nobody else is answered meanwhile.
    return Response(to_json(job), status_code, headers, media_type="application/json")


def _status(job: dict[str, Any]) -> int:
    return 200 if job["state"] in FINISHED else 202


def _etag(job: dict[str, Any]) -> str:
    # An estimate that goes down by the second is no news.
    progress = {**job["progress"], "seconds_left": None}
    body = to_json(job | {"progress": progress})
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'

"""Diagnoses: submit, look, wait, cancel."""

from functools import partial

from fastapi import APIRouter, Request, Response, status
from starlette.concurrency import run_in_threadpool

from admin_core.spec import DiagnosisSpec
from app.auth import Caller, CallerDep
from app.body import JsonRoute
from app.deps import EngineDep, Fresh, IdempotencyKey, StoreDep, Wait, WaitingDep
from app.job_answers import DIAGNOSES, cancelled, find_job, shown, submitted
from app.job_view import JobView, job_json
from app.problems import documented
from app.waiting import Waiting
from worker import jobs
from worker.admission import check_diagnosis
from worker.data import check_data
from worker.jobs import FINISHED, Job, JobName, Reuse
from worker.queue import Queue
from worker.settings import Settings
from worker.store import Store

router = APIRouter(prefix="/v1", tags=["diagnoses"], route_class=JsonRoute)


@router.post(
    "/diagnoses",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=JobView,
    responses={
        200: {
            "model": JobView,
            "description": "Finished: within `wait`, or before; `links.reused` is there if the "
            "job was.",
        },
        202: {"description": "Accepted; `Location` says where to look."},
        **documented(400, 413, 415, 422, 500, 503),
    },
)
async def submit_diagnosis(
    spec: DiagnosisSpec,
    engine: EngineDep,
    caller: CallerDep,
    fresh: Fresh = False,
    wait: Wait = 0,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Ask whether a model will train. With `wait`, or of a spec that was diagnosed before, the
    answer may come at once."""
    settings, store, queue, waiting = engine

    def submit_and_find() -> tuple[Job, bool]:
        job_id, made = submit(
            spec,
            settings,
            store,
            queue,
            caller,
            idempotency_key=idempotency_key,
            reuse=Reuse.NONE if fresh else Reuse.ANY,
        )
        return made or find(store, caller, job_id), made is not None

    # In one go, as each way to a thread and back costs as much as a statement.
    job, new = await run_in_threadpool(submit_and_find)
    job = await _waited_for(job, store, waiting, caller, wait)
    return submitted(job_json(job), reused=not new)


@router.get(
    "/diagnoses/{job_id}",
    response_model=JobView,
    responses={
        304: {"description": "Still as the `ETag` in `If-None-Match` says."},
        **documented(404, 422, 500),
    },
)
async def get_diagnosis(
    job_id: str,
    request: Request,
    store: StoreDep,
    waiting: WaitingDep,
    caller: CallerDep,
    wait: Wait = 0,
) -> Response:
    """The job as it is now, or once it is finished, if that is within `wait`."""
    job = await run_in_threadpool(find, store, caller, job_id)
    job = await _waited_for(job, store, waiting, caller, wait)
    return shown(job_json(job), request)


@router.delete(
    "/diagnoses/{job_id}",
    response_model=JobView,
    responses={
        202: {"model": JobView, "description": "Running; asked to stop, which takes 2 seconds."},
        **documented(404, 500),
    },
)
def cancel_diagnosis(job_id: str, store: StoreDep, caller: CallerDep) -> Response:
    """Cancel. A finished job stays as it is, but answers no other request any more."""
    find(store, caller, job_id)
    jobs.cancel(store, job_id)
    return cancelled(job_json(find(store, caller, job_id)))


async def _waited_for(job: Job, store: Store, waiting: Waiting, caller: Caller, wait: float) -> Job:
    """The job as it is once it is finished, or once the time is up."""
    if wait <= 0 or job.state in FINISHED:
        return job
    await waiting.until_finished(job.id, seconds=wait)
    return await run_in_threadpool(find, store, caller, job.id)


def submit(
    spec: DiagnosisSpec,
    settings: Settings,
    store: Store,
    queue: Queue,
    caller: Caller,
    *,
    idempotency_key: str | None = None,
    reuse: Reuse,
) -> tuple[str, Job | None]:
    """The id of the job for a spec within the limits, and the job if it is a new one; a message for
    it is on its way."""
    check_diagnosis(spec, settings)
    check_data(spec, store, settings, sees=caller.sees)
    device_kind = settings.device_kind_for(spec.model)
    job_id, made = jobs.submit(
        store,
        spec,
        idempotency_key=idempotency_key,
        reuse=reuse,
        device_kind=device_kind,
        requester=caller.requester,
        announced=True,
    )
    if made:
        # A message that cannot be sent now is sent by the dispatcher.
        unsent = partial(jobs.mark_unpublished, store)
        queue.enqueue_soon(JobName.DIAGNOSIS, [job_id], device_kind, unsent=unsent)
    return job_id, made


def find(store: Store, caller: Caller, job_id: str) -> Job:
    """The diagnosis, made here or pushed; raises a 404 problem if the caller has none of this
    id."""
    return find_job(store, caller, job_id, *DIAGNOSES)

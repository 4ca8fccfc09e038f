"""Races: submit, look, wait, cancel; and the curves of their runs."""

import csv
import io
from collections.abc import Iterator
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response, status
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from admin_core.race_spec import RaceSpec
from app.auth import Caller, CallerDep
from app.body import JsonRoute
from app.deps import EngineDep, Fresh, IdempotencyKey, StoreDep, Wait, WaitingDep
from app.job_answers import cancelled, find_job, shown, submitted
from app.job_view import RaceView, View, race_json
from app.problems import documented
from worker import jobs, races
from worker.admission import check_race
from worker.data import check_data
from worker.jobs import JobName, Reuse
from worker.queue import Queue
from worker.settings import Settings
from worker.store import Store

router = APIRouter(prefix="/v1/races", tags=["races"], route_class=JsonRoute)


class CurvePoint(View):
    """Where a run was after one step."""

    step: int
    loss: float | None
    """In nats; null where it is not finite."""
    learning_rate: float
    tokens_per_second: float
    """Of the run so far."""
    validation_loss: float | None
    """On held-out data, at the steps at which it was measured."""


class Curve(View):
    """One arm with one seed."""

    arm: str
    seed: int
    points: list[CurvePoint]


class Curves(View):
    curves: list[Curve]
    """In the order of the race's runs."""


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=RaceView,
    responses={
        200: {
            "model": RaceView,
            "description": "Finished: within `wait`, or before; `links.reused` is there if the "
            "race was.",
        },
        202: {"description": "Accepted; `Location` says where to look."},
        **documented(400, 413, 415, 422, 500, 503),
    },
)
async def submit_race(
    spec: RaceSpec,
    engine: EngineDep,
    caller: CallerDep,
    fresh: Fresh = False,
    wait: Wait = 0,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Train every arm with every seed, and compare them."""
    settings, store, queue, waiting = engine
    race_id, new = await run_in_threadpool(
        submit,
        spec,
        settings,
        store,
        queue,
        caller,
        idempotency_key=idempotency_key,
        reuse=Reuse.NONE if fresh else Reuse.ANY,
    )
    await waiting.until_finished(race_id, seconds=wait)
    return submitted(await run_in_threadpool(find_json, store, caller, race_id), reused=not new)


@router.get(
    "/{race_id}",
    response_model=RaceView,
    responses={
        304: {"description": "Still as the `ETag` in `If-None-Match` says."},
        **documented(404, 422, 500),
    },
)
async def get_race(
    race_id: str,
    request: Request,
    store: StoreDep,
    waiting: WaitingDep,
    caller: CallerDep,
    wait: Wait = 0,
) -> Response:
    """The race as it is now, or once it is finished, if that is within `wait`."""
    await run_in_threadpool(find_job, store, caller, race_id, JobName.RACE)
    await waiting.until_finished(race_id, seconds=wait)
    return shown(await run_in_threadpool(find_json, store, caller, race_id), request)


@router.delete(
    "/{race_id}",
    response_model=RaceView,
    responses={
        202: {"model": RaceView, "description": "Running; asked to stop, which takes 2 seconds."},
        **documented(404, 500),
    },
)
def cancel_race(race_id: str, store: StoreDep, caller: CallerDep) -> Response:
    """Cancel with all runs. A finished race stays as it is, but answers no other request."""
    find_job(store, caller, race_id, JobName.RACE)
    jobs.cancel(store, race_id)
    return cancelled(find_json(store, caller, race_id))


@router.get("/{race_id}/curves.json", responses=documented(404, 500))
def get_curves(race_id: str, store: StoreDep, caller: CallerDep) -> Curves:
    """The loss of every run step by step, as far as the runs are."""
    find_job(store, caller, race_id, JobName.RACE)
    return Curves(
        curves=[
            Curve(arm=run.arm, seed=run.seed, points=list(_points(store, run.id)))
            for run in races.runs_of(store, race_id)
        ]
    )


@router.get(
    "/{race_id}/curves.csv",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One line a step, with the arm and the seed before it.",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        },
        **documented(404, 500),
    },
)
def get_curves_as_csv(race_id: str, store: StoreDep, caller: CallerDep) -> StreamingResponse:
    """The same as a table."""
    find_job(store, caller, race_id, JobName.RACE)
    return StreamingResponse(
        _csv(store, race_id),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="curves.csv"'},
    )


def submit(
    spec: RaceSpec,
    settings: Settings,
    store: Store,
    queue: Queue,
    caller: Caller,
    *,
    idempotency_key: str | None = None,
    reuse: Reuse,
) -> tuple[str, bool]:
    """The id of the race for a spec within the limits, and whether it is a new one; messages for
    its runs are on their way."""
    check_race(spec, settings)
    check_data(spec, store, settings, sees=caller.sees)
    device_kind = settings.device_kind_for(*(spec.run(arm).model for arm in range(len(spec.arms))))
    race_id, run_ids = races.submit(
        store,
        spec,
        idempotency_key=idempotency_key,
        reuse=reuse,
        device_kind=device_kind,
        requester=caller.requester,
        announced=True,
    )
    # Messages that cannot be sent now are sent by the dispatcher.
    unsent = partial(jobs.mark_unpublished, store)
    queue.enqueue_soon(JobName.RACE_RUN, run_ids, device_kind, unsent=unsent)
    return race_id, bool(run_ids)


def find_json(store: Store, caller: Caller, race_id: str) -> dict[str, Any]:
    """What `RaceView` describes; raises a 404 problem if there is no such race."""
    job = find_job(store, caller, race_id, JobName.RACE)
    return race_json(job, races.runs_of(store, race_id))


def _points(store: Store, run_id: str) -> Iterator[CurvePoint]:
    return map(CurvePoint.model_validate, races.points_of_run(store, run_id))


def _csv(store: Store, race_id: str) -> Iterator[str]:
    yield ",".join(("arm", "seed", *CurvePoint.model_fields)) + "\r\n"
    for run in races.runs_of(store, race_id):
        text = io.StringIO()
        csv.writer(text).writerows(
            (run.arm, run.seed, *dict(point).values()) for point in _points(store, run.id)
        )
        yield text.getvalue()

"""Training loops of the caller's own: begin, tell points, finish; look, watch, cancel."""

import csv
import io
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response, status
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from admin_core.watched_run import RunEnd, StepPoints, WatchedRunReport, WatchedRunSpec
from app.auth import Caller, CallerDep
from app.body import JsonRoute
from app.deps import IdempotencyKey, SettingsDep, StoreDep, Wait, WaitingDep
from app.job_answers import find_job, shown, submitted
from app.job_view import JobSummaryView, View, job_json
from app.problems import RUN_FULL, RUN_OVER, ProblemError, documented
from app.routes.race_events import POLL_SECONDS, ROWS
from app.streams import StreamPlace
from worker import jobs, races, watched_runs
from worker.jobs import FINISHED, Job, JobName, State
from worker.problem import Problem
from worker.store import Store
from worker.watched_runs import RunFullError, RunOverError

router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=JsonRoute)


class WatchedRunView(JobSummaryView):
    """A training loop of the caller's own."""

    attempts: list[Any]
    """None, as no worker has a part in it."""
    spec: WatchedRunSpec
    report: WatchedRunReport
    """What is known so far."""
    problem: Problem | None
    """Once it failed."""


class PushedView(View):
    accepted: int
    """Points of steps that were not known yet; the others were left out."""
    last_step: int
    """That is known of the run."""


class RunCurvePoint(View):
    step: int
    loss: float | None
    """Null where it is not finite."""
    learning_rate: float | None


class RunCurve(View):
    points: list[RunCurvePoint]


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=WatchedRunView,
    responses={
        200: {"model": WatchedRunView, "description": "It was there already."},
        201: {"description": "Begun; `Location` says where to look."},
        **documented(400, 413, 415, 422, 500),
    },
)
def begin_run(
    spec: WatchedRunSpec,
    settings: SettingsDep,
    store: StoreDep,
    caller: CallerDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Announce a training loop, which is running from now on."""
    run_id, new = watched_runs.begin(
        store,
        spec,
        silence_seconds=settings.run_silence_seconds,
        idempotency_key=idempotency_key,
        requester=caller.requester,
    )
    answer = submitted(job_json(_find(store, caller, run_id)), reused=not new)
    answer.status_code = 201 if new else 200
    return answer


@router.post("/{run_id}/points", responses=documented(400, 404, 409, 413, 415, 422, 500))
def push_points(
    run_id: str, body: StepPoints, settings: SettingsDep, store: StoreDep, caller: CallerDep
) -> PushedView:
    """Tell where the loop is. Steps that are known already are left out, so that the same points
    may be sent twice; no points at all are a sign of life."""
    _find(store, caller, run_id)
    try:
        pushed = watched_runs.push(
            store,
            run_id,
            body.points,
            silence_seconds=settings.run_silence_seconds,
            most_points=settings.max_run_points,
        )
    except RunOverError as over:
        raise _over(over) from None
    except RunFullError:
        raise ProblemError(
            RUN_FULL.problem(
                f"A run may have {settings.max_run_points:,} points. Tell every tenth step, or "
                "raise TRIMTAB_MAX_RUN_POINTS.",
                limit=settings.max_run_points,
            )
        ) from None
    return PushedView(**pushed._asdict())


@router.post(
    "/{run_id}/finish",
    response_model=WatchedRunView,
    responses=documented(400, 404, 409, 413, 415, 422, 500),
)
def finish_run(run_id: str, end: RunEnd, store: StoreDep, caller: CallerDep) -> Response:
    """Say that the loop has ended, and how."""
    _find(store, caller, run_id)
    try:
        watched_runs.finish(store, run_id, end)
    except RunOverError as over:
        raise _over(over) from None
    return JSONResponse(job_json(_find(store, caller, run_id)))


@router.get(
    "/{run_id}",
    response_model=WatchedRunView,
    responses={
        304: {"description": "Still as the `ETag` in `If-None-Match` says."},
        **documented(404, 422, 500),
    },
)
async def get_run(
    run_id: str,
    request: Request,
    store: StoreDep,
    waiting: WaitingDep,
    caller: CallerDep,
    wait: Wait = 0,
) -> Response:
    """The run as it is now, or once it has ended, if that is within `wait`."""
    await run_in_threadpool(_find, store, caller, run_id)
    await waiting.until_finished(run_id, seconds=wait)
    return shown(job_json(await run_in_threadpool(_find, store, caller, run_id)), request)


@router.delete("/{run_id}", response_model=WatchedRunView, responses=documented(404, 500))
def cancel_run(run_id: str, store: StoreDep, caller: CallerDep) -> Response:
    """Take no more points of it. The loop itself is not ours to stop, and trains on."""
    _find(store, caller, run_id)
    watched_runs.cancel(store, run_id)
    return JSONResponse(job_json(_find(store, caller, run_id)))


def _run_id(run_id: str, store: StoreDep, caller: CallerDep) -> str:
    # Before the stream begins, after which there can be no other status.
    return _find(store, caller, run_id).id


@router.get(
    "/{run_id}/events", response_class=EventSourceResponse, responses=documented(404, 422, 500)
)
async def watch_run(
    run_id: Annotated[str, Depends(_run_id)],
    store: StoreDep,
    waiting: WaitingDep,
    place: StreamPlace,
    last_event_id: Annotated[
        int, Header(ge=0, lt=2**63, description="Of the last event seen; go on from there.")
    ] = 0,
) -> AsyncIterator[ServerSentEvent]:
    """`points` with ids, and at last `run`, as of a race."""
    while not waiting.closed:
        # Looked at before the points are, so that none follow once it has ended.
        run = await run_in_threadpool(jobs.get, store, run_id)
        if run is None:
            return
        while rows := await run_in_threadpool(
            races.points_of_race, store, run_id, after=last_event_id, limit=ROWS
        ):
            for row in rows:
                last_event_id = row.id
                yield ServerSentEvent(event="points", id=str(row.id), data={"points": row.points})
        if run.state in FINISHED:
            yield ServerSentEvent(event="run", data=job_json(run))
            return
        await waiting.until_finished(run_id, seconds=POLL_SECONDS)


@router.get("/{run_id}/curves.json", responses=documented(404, 500))
def get_run_curve(run_id: str, store: StoreDep, caller: CallerDep) -> RunCurve:
    """The loss step by step, as far as it was told."""
    _find(store, caller, run_id)
    return RunCurve(points=list(_points(store, run_id)))


@router.get(
    "/{run_id}/curves.csv",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One line a step.",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        },
        **documented(404, 500),
    },
)
def get_run_curve_as_csv(run_id: str, store: StoreDep, caller: CallerDep) -> StreamingResponse:
    """The same as a table."""
    _find(store, caller, run_id)
    return StreamingResponse(
        _csv(store, run_id),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="curves.csv"'},
    )


def _find(store: Store, caller: Caller, run_id: str) -> Job:
    return find_job(store, caller, run_id, JobName.RUN)


_ENDED = {
    State.SUCCEEDED: "was finished",
    State.FAILED: "failed or fell silent",
    State.CANCELLED: "was cancelled",
}


def _over(over: RunOverError) -> ProblemError:
    return ProblemError(
        RUN_OVER.problem(
            f"The run is over, as it {_ENDED[over.state]}; begin another with POST /v1/runs.",
            state=over.state,
        )
    )


def _points(store: Store, run_id: str) -> Iterator[RunCurvePoint]:
    return map(RunCurvePoint.model_validate, races.points_of_run(store, run_id))


def _csv(store: Store, run_id: str) -> Iterator[str]:
    yield ",".join(RunCurvePoint.model_fields) + "\r\n"
    text = io.StringIO()
    csv.writer(text).writerows(dict(point).values() for point in _points(store, run_id))
    yield text.getvalue()

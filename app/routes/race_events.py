"""A race as it runs, as server-sent events.

points      steps that a run has taken; these alone have an id, from which a reader can go on
progress    how far the race is, with those of its runs that have changed; the first has all
race        the finished race; the stream ends with it
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from app.auth import CallerDep
from app.deps import StoreDep, WaitingDep
from app.job_answers import find_job
from app.job_view import progress_json, race_json, run_json
from app.problems import documented
from app.streams import StreamPlace
from worker import jobs, races
from worker.jobs import FINISHED, Job, JobName
from worker.races import Points, Run
from worker.store import Store

router = APIRouter(prefix="/v1/races", tags=["races"])

POLL_SECONDS = 0.25
ROWS = 200
"""Of points read at a time; a row holds what a run did in half a second."""


def _race_id(race_id: str, store: StoreDep, caller: CallerDep) -> str:
    # Before the stream begins, after which there can be no other status.
    return find_job(store, caller, race_id, JobName.RACE).id


@router.get(
    "/{race_id}/events", response_class=EventSourceResponse, responses=documented(404, 422, 500)
)
async def watch_race(
    race_id: Annotated[str, Depends(_race_id)],
    store: StoreDep,
    waiting: WaitingDep,
    place: StreamPlace,
    last_event_id: Annotated[
        int,
        Header(ge=0, lt=2**63, description="Of the last event seen; go on from there."),
    ] = 0,
) -> AsyncIterator[ServerSentEvent]:
    """Progress and points as they come, until the race is finished."""
    told: dict[str, Any] = {}
    names: dict[str, Run] = {}
    while not waiting.closed:
        # Looked at before the points are, so that none follow once it is finished.
        race, runs = await run_in_threadpool(_look, store, race_id)
        if race is None:
            return
        names = {run.id: run for run in runs}
        progress = _progress(race)
        changed = [run for run in runs if told.get(run.id) != run]
        if changed or told.get("") != _known(progress):
            yield ServerSentEvent(
                event="progress", data=progress | {"runs": [run_json(run) for run in changed]}
            )
        told = {"": _known(progress), **names}
        while rows := await run_in_threadpool(
            races.points_of_race, store, race_id, after=last_event_id, limit=ROWS
        ):
            for row in rows:
                last_event_id = row.id
                yield _points_event(row, names[row.run_id])
        if race.state in FINISHED:
            yield ServerSentEvent(event="race", data=race_json(race, runs))
            return
        await waiting.until_finished(race_id, seconds=POLL_SECONDS)


def _look(store: Store, race_id: str) -> tuple[Job | None, list[Run]]:
    race = jobs.get(store, race_id)
    return race, races.runs_of(store, race_id)


def _progress(race: Job) -> dict[str, Any]:
    return {"state": race.state, **progress_json(race)}


def _known(progress: dict[str, Any]) -> dict[str, Any]:
    """Without the estimate, which is news only with something else."""
    return progress | {"seconds_left": None}


def _points_event(row: Points, run: Run) -> ServerSentEvent:
    data = {"arm": run.arm, "seed": run.seed, "points": row.points}
    return ServerSentEvent(event="points", id=str(row.id), data=data)

"""What the routes are given, all of it at hand: `async`, as FastAPI asks a thread for the rest."""

from typing import Annotated, NamedTuple

from fastapi import Depends, Header, Query, Request

from app.drawing import Drawing
from app.waiting import Waiting
from worker.queue import Queue
from worker.settings import Settings
from worker.store import Store


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


async def _queue(request: Request) -> Queue:
    queue: Queue = request.app.state.queue
    return queue


async def _waiting(request: Request) -> Waiting:
    waiting: Waiting = request.app.state.waiting
    return waiting


class Engine(NamedTuple):
    """What takes jobs on."""

    settings: Settings
    store: Store
    queue: Queue
    waiting: Waiting


async def _engine(request: Request) -> Engine:
    state = request.app.state
    return Engine(state.settings, state.store, state.queue, state.waiting)


async def _drawing(request: Request) -> Drawing:
    drawing: Drawing = request.app.state.drawing
    return drawing


SettingsDep = Annotated[Settings, Depends(_settings)]
StoreDep = Annotated[Store, Depends(_store)]
QueueDep = Annotated[Queue, Depends(_queue)]
EngineDep = Annotated[Engine, Depends(_engine)]
"""All four in one, for who needs them all: FastAPI works on each thing that a route is given."""
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="The same key and body again give the same job again; a new key, a new job.",
    ),
]
Fresh = Annotated[
    bool,
    Query(
        description="Begin anew, where otherwise an earlier job of the same spec, version and "
        "device answers."
    ),
]
WaitingDep = Annotated[Waiting, Depends(_waiting)]
DrawingDep = Annotated[Drawing, Depends(_drawing)]
Wait = Annotated[
    float,
    Query(
        ge=0, le=300, allow_inf_nan=False, description="Seconds to wait for the job to be finished."
    ),
]

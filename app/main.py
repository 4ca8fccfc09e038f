"""The HTTP API."""

from importlib.metadata import version

from fastapi import FastAPI

from app.drawing import Drawing
from app.problems import add_problems
from app.routes import (
    datasets,
    diagnoses,
    gate,
    health,
    jobs,
    omega,
    prescriptions,
    presets,
    race_events,
    races,
    report_files,
    reports,
    runs,
)
from app.waiting import Waiting
from worker.queue import Queue
from worker.settings import Settings
from worker.store import Store


def create_app(settings: Settings, store: Store, queue: Queue) -> FastAPI:
    app = FastAPI(
        title="Trimtab",
        version=version("trimtab"),
        description="Says whether a Transformer will train, why not, and by which measurements.",
    )
    app.state.settings = settings
    app.state.store = store
    app.state.queue = queue
    app.state.waiting = Waiting(store)
    app.state.drawing = Drawing()
    add_problems(app)
    for part in (
        diagnoses,
        omega,
        gate,
        reports,
        races,
        race_events,
        prescriptions,
        report_files,
        runs,
        datasets,
        jobs,
        presets,
        health,
    ):
        app.include_router(part.router)
    return app

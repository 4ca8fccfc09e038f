"""The HTTP API."""

from importlib.metadata import version

from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline

from app.auth import Doorkeeper, caller
from app.drawing import Drawing
from app.pages.routers import PAGES
from app.problems import add_problems, documented
from app.request_log import RequestLog
from app.routes import (
    datasets,
    diagnoses,
    diagnosis_events,
    estimates,
    gate,
    health,
    jobs,
    metrics,
    omega,
    prescriptions,
    presets,
    race_events,
    races,
    report_files,
    reports,
    runs,
)
from app.streams import Streams
from app.waiting import Waiting
from worker.queue import Queue
from worker.settings import Settings
from worker.store import Store


def create_app(settings: Settings, store: Store, queue: Queue) -> FastAPI:
    app = FastAPIOffline(
        redoc_url=None,
        title="Trimtab",
        version=version("trimtab"),
        description="Says whether a Transformer will train, why not, and by which measurements.",
        # Spans of requests, once there is somewhere for them to go; figures are under /metrics.
        telemetry={"auto_configure": False, "metrics": False, "logs": False},
    )
    app.state.settings = settings
    app.state.store = store
    app.state.queue = queue
    app.state.waiting = Waiting(store)
    app.state.drawing = Drawing()
    app.state.streams = Streams(settings.max_streams_per_key)
    app.state.doorkeeper = Doorkeeper(store, settings)
    add_problems(app)
    app.add_middleware(RequestLog)
    for part in (
        diagnoses,
        diagnosis_events,
        estimates,
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
    ):
        app.include_router(
            part.router, dependencies=[Depends(caller)], responses=documented(401, 403, 429)
        )
    app.include_router(health.router)
    app.include_router(metrics.router)
    for page in PAGES:
        app.include_router(page)
    return app

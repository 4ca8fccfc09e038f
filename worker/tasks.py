"""Celery's door to the core: unpack the message, call one function, pack the answer.

Only the worker's processes import this module.
"""

import os
import threading
from typing import Any

import structlog
from celery import signals
from celery.exceptions import WorkerLostError
from sqlalchemy.exc import SQLAlchemyError

from admin_core.errors import AdminCoreError, AnalysisCancelledError
from admin_core.spec import Architecture, DiagnosisSpec, TrainingSpec, TransformerSpec
from worker import jobs, logs
from worker.attempt import RunningAttempt
from worker.celery import create_celery
from worker.jobs import Claim, JobName
from worker.problem import UNEXPECTED, problem_of
from worker.settings import Settings
from worker.store import Store

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 10.0

TINY = DiagnosisSpec(
    model=TransformerSpec(
        architecture=Architecture.ENCODER_ONLY, encoder_layers=2, d_model=8, num_heads=1
    ),
    training=TrainingSpec(batch_size=2, sequence_length=8),
)

settings = Settings()
store = Store(settings.database_url)
celery_app = create_celery(settings)


@celery_app.task(name=JobName.DIAGNOSIS, bind=True)  # type: ignore[untyped-decorator]
def diagnosis(self: Any, job_id: str) -> None:
    held = jobs.claim(
        store, job_id, worker=self.request.hostname, lease_seconds=settings.lease_seconds
    )
    if held is None:
        return  # A message for a job that another attempt has, or that is over.
    with structlog.contextvars.bound_contextvars(job_id=job_id, attempt=held.number):
        diagnose(held)


def diagnose(held: Claim) -> None:
    """Work on a claimed diagnosis, to the end that is written in the store."""
    # Here, so that no other process of the service loads torch.
    from admin_core.diagnosis import diagnose_spec

    attempt = RunningAttempt(store, held, settings)
    try:
        with attempt:
            report = diagnose_spec(
                DiagnosisSpec.model_validate(held.spec),
                device=settings.device,
                on_progress=attempt.on_progress,
            )
        jobs.succeed(store, held, report.model_dump(mode="json"))
        log.info("succeeded")
    except AnalysisCancelledError:
        attempt.conclude_stopped()
    except AdminCoreError as error:
        jobs.fail(store, held, problem_of(error))
        log.info("failed", reason=str(error))
    except Exception:
        # The log says more; a caller may not learn what is inside.
        log.exception("failed unexpectedly")
        jobs.fail(
            store,
            held,
            UNEXPECTED.problem("The diagnosis ended with an unexpected error; see the log."),
        )


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _set_up_logging(**_: Any) -> None:
    logs.configure(settings, "worker")


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _warm_up(**_: Any) -> None:
    """Diagnose a tiny model, so that the first job need not wait for what torch loads late."""
    from admin_core.diagnosis import diagnose_spec

    try:
        report = diagnose_spec(TINY, device=settings.device)
    except Exception:
        # Each job will say so too; a worker that never comes up would say nothing to anybody.
        log.exception("the warm-up failed")
    else:
        log.info("warm", device=report.environment.device, pid=os.getpid())


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _watch_over_jobs(sender: Any, **_: Any) -> None:
    """What the main process does beside handing out jobs."""
    worker: str = sender.hostname

    def take_back(exception: Any, kwargs: Any, **_: Any) -> None:
        if isinstance(exception, WorkerLostError):
            # The pool child died under its job: no need to wait for the lease to run out.
            why = "its process was killed, as happens when memory runs out"
            jobs.lose_job(store, kwargs["job_id"], worker=worker, why=why)

    signals.task_failure.connect(take_back, weak=False)
    # Beats while no job runs, and while one does.
    threading.Thread(target=_beat, args=(worker,), name="heartbeat", daemon=True).start()


def _beat(worker: str) -> None:
    rest = threading.Event()
    while True:
        try:
            jobs.worker_is_alive(store, worker)
        except SQLAlchemyError:
            log.warning("a heartbeat did not reach the database", exc_info=True)
        rest.wait(HEARTBEAT_SECONDS)


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _give_jobs_back(sender: Any, **_: Any) -> None:
    jobs.drain(store, str(sender))


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
def _say_goodbye(sender: Any, **_: Any) -> None:
    jobs.forget_worker(store, sender.hostname)

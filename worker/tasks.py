"""Celery's door to the core: unpack the message, call one function, pack the answer.

Only the worker's processes import this module.
"""

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import structlog
from celery import signals
from celery.exceptions import WorkerLostError
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from admin_core.errors import AdminCoreError, AnalysisCancelledError, CheckpointError
from admin_core.progress import Progress
from admin_core.race_report import RacePoint, SeedResult
from admin_core.race_spec import RaceSpec, RunSpec
from admin_core.size import is_streamed
from admin_core.spec import Architecture, DiagnosisSpec, TrainingSpec, TransformerSpec
from worker import jobs, logs, memory_limit, races, telemetry
from worker.artifacts import Artifacts
from worker.attempt import BEAT_SECONDS, RunningAttempt
from worker.celery import create_celery
from worker.data import open_data
from worker.jobs import Claim, JobName
from worker.memory import resident_bytes
from worker.persistence import once_the_database_answers
from worker.problem import GPU_LOST, OUT_OF_MEMORY, UNEXPECTED, Problem, problem_of
from worker.settings import Queues, Settings
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
artifacts = Artifacts(settings)
celery_app = create_celery(settings)


Work = Callable[[Claim, RunningAttempt], BaseModel]
"""What a job asks for; returns the report."""


@celery_app.task(name=JobName.DIAGNOSIS, bind=True)  # type: ignore[untyped-decorator]
def diagnosis(self: Any, job_id: str) -> None:
    work_on(job_id, diagnose, worker=self.request.hostname)
    artifacts.remove_if_finished(store, job_id)
    _end_process_without_gpu()


@celery_app.task(name=JobName.RACE_RUN, bind=True)  # type: ignore[untyped-decorator]
def race_run(self: Any, job_id: str) -> None:
    held = work_on(job_id, train, worker=self.request.hostname)
    artifacts.remove_if_finished(store, job_id)
    _end_process_without_gpu()
    if held is not None and held.race_id is not None:
        # Of no effect unless this was its last run; saves waiting for the dispatcher.
        work_on(held.race_id, conclude_race, worker=self.request.hostname)


@celery_app.task(name=JobName.RACE, bind=True)  # type: ignore[untyped-decorator]
def race(self: Any, job_id: str) -> None:
    work_on(job_id, conclude_race, worker=self.request.hostname)


# The core is imported inside, so that no other process of the service loads torch.


def diagnose(held: Claim, attempt: RunningAttempt) -> BaseModel:
    """From the last checkpoint where there is one, as of a model that is not held whole."""
    from admin_core.diagnosis import diagnose_spec
    from admin_core.training.checkpoints import Checkpoint

    spec = attempt.understand(DiagnosisSpec, held.spec)
    checkpoint = None
    if is_streamed(spec, settings.limits):
        checkpoint = Checkpoint(
            path=artifacts.bring(held.job_id) / "profile.safetensors",
            every_seconds=settings.checkpoint_seconds,
            after_save=lambda: _keep(held.job_id),
        )
    dataset = open_data(spec.data, settings, on_progress=attempt.on_progress)

    def run() -> BaseModel:
        return diagnose_spec(
            spec,
            device=settings.device,
            on_progress=attempt.on_progress,
            dataset=dataset,
            limits=settings.limits,
            checkpoint=checkpoint,
        )

    try:
        return run()
    except CheckpointError as error:
        log.warning("starting from the beginning", reason=str(error))
        artifacts.remove(held.job_id)
        return run()


def train(held: Claim, attempt: RunningAttempt) -> BaseModel:
    """One arm of a race with one seed, from its last checkpoint where there is one."""
    from admin_core.training.arm import train_arm
    from admin_core.training.checkpoints import Checkpoint

    checkpoint = Checkpoint(
        path=artifacts.bring(held.job_id) / "run.safetensors",
        every_seconds=settings.checkpoint_seconds,
        # A state is never ahead of the points, so that the next attempt leaves no gap.
        before_save=attempt.write_points,
        after_save=lambda: _keep(held.job_id),
    )
    log.info("training", from_checkpoint=checkpoint.path.exists())
    known = once_the_database_answers(lambda: races.last_step(store, held.job_id))
    spec = attempt.understand(RunSpec, held.spec["run"])
    dataset = open_data(spec.data, settings, on_progress=attempt.on_progress)

    def tell(point: RacePoint) -> None:
        # Since the last checkpoint, an attempt that was lost may have told of steps already.
        if point.step > known:
            attempt.on_point(point.model_dump(mode="json"))

    def run() -> SeedResult:
        return train_arm(
            spec,
            seed=held.spec["seed"],
            device=settings.device,
            on_progress=attempt.on_progress,
            on_point=tell,
            checkpoint=checkpoint,
            dataset=dataset,
            limits=settings.limits,
        )

    try:
        result = run()
    except CheckpointError as error:
        log.warning("starting from the beginning", reason=str(error))
        checkpoint.path.unlink()
        result = run()
    while not attempt.write_points():
        time.sleep(BEAT_SECONDS)
    return result


def _keep(job_id: str) -> None:
    try:
        artifacts.keep(job_id)
    except Exception:
        # The next one may be; without any, a run begins again.
        log.exception("a checkpoint could not be kept elsewhere")


def conclude_race(held: Claim, attempt: RunningAttempt) -> BaseModel:
    """What follows from the results of all runs."""
    from admin_core.race import conclude

    attempt.on_progress(Progress("conclusion", 1.0))
    found = once_the_database_answers(lambda: races.results_of(store, held.job_id))
    results = [attempt.understand(SeedResult, each) for each in found]
    spec = attempt.understand(RaceSpec, held.spec)
    dataset = open_data(spec.data, settings, on_progress=attempt.on_progress)
    return conclude(spec, results, device=settings.device, dataset=dataset)


def work_on(job_id: str, work: Work, *, worker: str) -> Claim | None:
    """Claim a job and work on it, to the end that is written in the store; None if another attempt
    has the job, or it is over."""
    held = jobs.claim(store, job_id, worker=worker, lease_seconds=settings.lease_seconds)
    if held is not None:
        told = {"job_id": job_id, "attempt": held.number, "request_id": held.request_id}
        with structlog.contextvars.bound_contextvars(**told), telemetry.attempt_span(held):
            log.info("begun")
            _attempt(held, work)
    return held


def _attempt(held: Claim, work: Work) -> None:
    attempt = RunningAttempt(store, held, settings)
    try:
        with attempt, _bounded_memory():
            report = work(held, attempt).model_dump(mode="json")
    except AnalysisCancelledError:
        attempt.conclude_stopped()
    except Exception as error:
        problem = _what_went_wrong(error)
        once_the_database_answers(lambda: jobs.fail(store, held, problem))
    else:
        kept = once_the_database_answers(lambda: jobs.succeed(store, held, report))
        log.info("succeeded" if kept else "another attempt has the job")


def _bounded_memory() -> AbstractContextManager[None]:
    # CUDA maps more main memory than it takes.
    on_cpu = settings.device_kind == "cpu"
    return memory_limit.at_most(settings.memory_limit) if on_cpu else nullcontext()


_KERNEL_FAILED = (
    "A kernel of the GPU failed, most often for an index beyond its table, as of a position or a "
    "token. The same job on a CPU (TRIMTAB_DEVICE=cpu) names the module."
)


def _has_lost_its_gpu() -> bool:
    """Whether CUDA refuses all further work of this process, as when a kernel has failed."""
    if settings.device_kind == "cpu":
        return False
    import torch

    # Work that did not come to the GPU has not lost it.
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return False
    try:
        torch.cuda.synchronize("cuda:0" if settings.device == "auto" else settings.device)
    except RuntimeError:
        return True
    return False


def _end_process_without_gpu() -> None:
    """The worker puts another in its place before the next job."""
    if _has_lost_its_gpu():
        log.warning("the GPU answers this process no more; ending it")
        os.kill(os.getpid(), signal.SIGKILL)


def _what_went_wrong(error: Exception) -> Problem:
    if _has_lost_its_gpu():
        log.error("failed on the GPU", exc_info=error)
        return GPU_LOST.problem(_KERNEL_FAILED)
    if memory_limit.is_out_of_memory(error):
        log.warning("failed for want of memory", error=str(error))
        return OUT_OF_MEMORY.problem(
            f"The job needed more than the {settings.memory_limit:,} bytes that it may take. Make "
            "the model or the batch smaller, or raise TRIMTAB_MAX_MEMORY_BYTES."
            if settings.device_kind == "cpu"
            else "The device has not as much memory as the job needs. Make the model or the batch "
            "smaller."
        )
    if isinstance(error, AdminCoreError):
        log.info("failed", reason=str(error))
        return problem_of(error)
    # The log says more; a caller may not learn what is inside.
    log.error("failed unexpectedly", exc_info=error)
    return UNEXPECTED.problem("The work ended with an unexpected error; see the log.")


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _set_up_logging(**_: Any) -> None:
    logs.configure(settings, "worker")


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _warm_up(**_: Any) -> None:
    """Diagnose a tiny model, so that the first job need not wait for what torch loads late."""
    telemetry.configure("trimtab-worker")
    if settings.queues is Queues.LONG:
        return  # A race takes long enough, and may never come.
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
            try:
                jobs.lose_job(store, kwargs["job_id"], worker=worker, why=_why_lost(exception))
            except SQLAlchemyError as error:
                log.warning("a lost job waits for its lease to run out", error=str(error))

    signals.task_failure.connect(take_back, weak=False)
    # Beats while no job runs, and while one does.
    threading.Thread(target=_beat, args=(worker,), name="heartbeat", daemon=True).start()


def _why_lost(error: WorkerLostError) -> str:
    """What the end of a pool process means, as its attempt tells it."""
    found = re.search(r"signal (\d+)", str(error))
    if found is None:
        return f"its process ended by itself ({error})"
    number = int(found[1])
    if number == signal.SIGKILL:
        return "its process was killed, as happens when memory runs out"
    return f"its process crashed ({signal.Signals(number).name})"


def _beat(worker: str) -> None:
    rest = threading.Event()
    while True:
        try:
            jobs.worker_is_alive(store, worker, memory_bytes=resident_bytes())
        except SQLAlchemyError:
            log.warning("a heartbeat did not reach the database", exc_info=True)
        rest.wait(HEARTBEAT_SECONDS)


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _give_jobs_back(sender: Any, **_: Any) -> None:
    try:
        once_the_database_answers(lambda: jobs.drain(store, str(sender)), within_seconds=5)
    except SQLAlchemyError as error:
        # The leases run out when the process has been ended.
        log.warning("jobs could not be given back", error=str(error))


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
def _say_goodbye(sender: Any, **_: Any) -> None:
    try:
        jobs.forget_worker(store, sender.hostname)
    except SQLAlchemyError as error:
        log.warning("the database did not hear the goodbye", error=str(error))

"""What a worker does with a message, in a process of its own, as it opens the database that its
environment names."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from worker.jobs import JobName


def printed_by(program: str, home: Path) -> list[str]:
    """The words of the last line that a worker's process prints that runs this."""
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"TRIMTAB_HOME": str(home), "TRIMTAB_DEVICE": "cpu"},
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()[-1].split()


def test_every_job_that_can_be_asked_for_has_a_task(tmp_path: Path) -> None:
    tasks = printed_by("from worker.tasks import celery_app; print(*celery_app.tasks)", tmp_path)
    # A loop of the caller's own is no work of ours.
    assert set(JobName) - {JobName.RUN, JobName.REPORT} <= set(tasks)


INTERRUPTED = """
import itertools
import threading

from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from admin_core.race_spec import RaceSpec
from worker import jobs, persistence, races, tasks

persistence.REST_SECONDS = 0.0
tasks.store.migrate()
spec = RaceSpec.model_validate({
    "model": {"architecture": "encoder_only", "encoder_layers": 1, "d_model": 8, "num_heads": 1},
    "training": {"batch_size": 2, "sequence_length": 8, "steps": 2},
    "data": {"kind": "synthetic", "name": "uniform"},
    "arms": ["post_ln"], "seeds": [0],
})
statements = itertools.count()
interrupted_at = -1

def interrupt(connection, cursor, statement, parameters, context, executemany):
    # The beats come when they come, and have tests of their own.
    if threading.current_thread() is threading.main_thread() and next(statements) == interrupted_at:
        raise OperationalError(statement, parameters, Exception("the connection is gone"))

event.listen(tasks.store._engine, "before_cursor_execute", interrupt)

def worked_on(job_id, work):
    try:
        tasks.work_on(job_id, work, worker="w")
    except OperationalError:
        # The claim did not reach the database; another message comes.
        tasks.work_on(job_id, work, worker="w")

states = []
for number in range(1_000):
    race_id, (run_id,) = races.submit(tasks.store, spec)
    interrupted_at, statements = number, itertools.count()
    worked_on(run_id, tasks.train)
    worked_on(race_id, tasks.conclude_race)
    asked, interrupted_at = next(statements), -1
    states += [jobs.get(tasks.store, job_id).state for job_id in (run_id, race_id)]
    if number >= asked:
        break
print(*states)
"""


def test_a_job_outlives_a_database_that_is_away_at_any_one_statement(tmp_path: Path) -> None:
    states = printed_by(INTERRUPTED, tmp_path)
    assert len(states) > 2 * 10, "so few statements make no run and no conclusion"
    assert set(states) == {"succeeded"}


BROKEN_GPU = """
import torch

from worker import jobs, tasks

tasks.store.migrate()

def refuse(device):
    raise RuntimeError("CUDA error: device-side assert triggered")

def fail(held, attempt):
    raise RuntimeError("whatever a kernel leaves behind")

torch.cuda.synchronize = refuse
for began in (False, True):
    torch.cuda.is_initialized = lambda: began
    job_id, _ = jobs.submit(tasks.store, tasks.TINY, device_kind="cuda")
    tasks.work_on(job_id, fail, worker="w")
    print(jobs.get(tasks.store, job_id).problem["type"], flush=True)
tasks._end_process_without_gpu()
print("lives on")
"""


def test_a_process_that_cuda_refuses_all_work_ends_once_its_job_has_failed(tmp_path: Path) -> None:
    # tests/app/test_gpu_service.py has it on a real GPU.
    run = subprocess.run(
        [sys.executable, "-c", BROKEN_GPU],
        capture_output=True,
        text=True,
        env=os.environ | {"TRIMTAB_HOME": str(tmp_path), "TRIMTAB_DEVICE": "cuda:0"},
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    told = [line for line in run.stdout.splitlines() if line.startswith("urn:")]
    # The first did not come to the GPU.
    assert [problem.rpartition(":")[2] for problem in told] == ["unexpected", "gpu-lost"]
    assert "lives on" not in run.stdout

"""Which worker a job goes to."""

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from admin_core.size import num_parameters
from admin_core.spec import DiagnosisSpec
from app.serve import worker_kinds
from tests.service import SMALL, environment
from worker.celery import consumed_by
from worker.settings import Queues, Settings

MODEL = DiagnosisSpec.model_validate(SMALL).model


def settings(**values: Any) -> Settings:
    return Settings(device="cpu", **values)


def test_large_models_go_to_gpus_and_small_ones_do_not() -> None:
    weights = num_parameters(MODEL)
    assert settings().device_kind_for(MODEL) == "cpu"
    assert settings(gpu_from_parameters=weights).device_kind_for(MODEL) == "cuda"
    assert settings(gpu_from_parameters=weights + 1).device_kind_for(MODEL) == "cpu"


def test_a_race_goes_where_its_largest_model_belongs() -> None:
    larger = MODEL.model_copy(update={"encoder_layers": 9})
    limit = settings(gpu_from_parameters=num_parameters(larger))
    assert limit.device_kind_for(MODEL, larger) == "cuda"


def test_a_worker_takes_the_jobs_of_its_device_short_ones_first() -> None:
    assert consumed_by(settings()) == ["trimtab", "trimtab.long"]
    assert consumed_by(settings(queues=Queues.SHORT)) == ["trimtab"]
    on_gpu = Settings(device="cuda:1")
    assert consumed_by(on_gpu) == ["trimtab.cuda", "trimtab.long.cuda"]


def test_a_machine_has_one_worker_for_its_gpu_and_two_for_its_cpu() -> None:
    on_cpu = [(Queues.SHORT, "cpu"), (Queues.LONG, "cpu")]
    assert worker_kinds(settings()) == on_cpu
    assert worker_kinds(Settings(device="cuda:0")) == [(Queues.ALL, "cuda:0")]
    both = Settings(device="cuda:0", gpu_from_parameters=10**6)
    assert worker_kinds(both) == [*on_cpu, (Queues.ALL, "cuda:0")]


def test_a_gpu_has_one_worker_at_a_time(tmp_path: Path) -> None:
    held = Path(tempfile.gettempdir()) / f"trimtab-{os.getuid()}-cuda-77.lock"
    with held.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = subprocess.run(
            [sys.executable, "-m", "worker"],
            env=environment(tmp_path)
            | {"TRIMTAB_DEVICE": "cuda:77", "TRIMTAB_BROKER_URL": "redis://127.0.0.1:1/0"},
            capture_output=True,
            text=True,
        )
    held.unlink()
    assert run.returncode == 1
    assert "cuda:77" in run.stderr

"""The service on a machine with a GPU, through the front door."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.admin_core.huggingface import SMALL as SMALL_CONFIG
from tests.admin_core.huggingface import request
from tests.app.test_races import LONG as LONG_RACE
from tests.app.test_races import TINY, look, submit
from tests.service import LONG, SMALL, Service, environment, until

pytestmark = pytest.mark.skipif(
    shutil.which("nvidia-smi") is None, reason="this machine has no GPU"
)

Serve = Callable[..., Service]


def device_of(job: dict[str, Any]) -> str:
    assert job["state"] == "succeeded", job
    return str(job["report"]["environment"]["device"])


def test_work_goes_to_it_unless_something_else_was_said(serve: Serve) -> None:
    service = serve(TRIMTAB_DEVICE="auto")
    service.wait_until_ready()
    assert device_of(service.diagnose(SMALL)) == "cuda:0"
    race = submit(service, TINY | {"training": TINY["training"] | {"autocast": "bf16"}}, wait=60)
    assert race["state"] == "succeeded", race
    assert all(seed["final_loss"] for arm in race["report"]["arms"] for seed in arm["seeds"])
    service.stop()


def test_small_models_stay_on_the_processor_where_that_was_said(serve: Serve) -> None:
    service = serve(TRIMTAB_DEVICE="cuda:0", TRIMTAB_GPU_FROM_PARAMETERS="1000000")
    service.wait_until_ready()
    larger = SMALL | {"model": SMALL["model"] | {"d_model": 512}}
    assert device_of(service.diagnose(SMALL)) == "cpu"
    assert device_of(service.diagnose(larger)) == "cuda:0"
    service.stop()


def test_a_second_worker_for_it_is_refused(serve: Serve, home: Path) -> None:
    service = serve(TRIMTAB_DEVICE="auto")
    service.wait_until_ready()
    second = subprocess.run(
        [sys.executable, "-m", "worker"],
        env=environment(home)
        | {"TRIMTAB_DEVICE": "cuda:0", "TRIMTAB_BROKER_URL": "redis://127.0.0.1:1/0"},
        capture_output=True,
        text=True,
    )
    assert second.returncode == 1
    assert "cuda:0" in second.stderr
    service.stop()


def test_running_work_of_both_kinds_stops_when_told(serve: Serve) -> None:
    service = serve(TRIMTAB_DEVICE="auto")
    service.wait_until_ready()
    job_id = service.submit_and_see_running(LONG)
    start = time.monotonic()
    assert service.http.delete(f"/v1/diagnoses/{job_id}").status_code == 202
    assert service.job(job_id, wait=30)["state"] == "cancelled"
    race = submit(service, LONG_RACE)
    until(lambda: look(service, race)["state"] == "running")
    assert service.http.delete(race["links"]["self"]).status_code == 202
    assert look(service, race, wait=30)["state"] == "cancelled"
    # Two cancels of 2 seconds, and the start of the race in between.
    assert time.monotonic() - start < 6
    service.stop()


def test_a_job_that_needs_more_memory_than_it_has_fails_alone(serve: Serve) -> None:
    service = serve(
        TRIMTAB_DEVICE="auto", TRIMTAB_MAX_TOKENS="2000000", TRIMTAB_FLOPS_PER_SECOND="1e18"
    )
    service.wait_until_ready()
    # A million answers over 200,000 words: 800 GB of logits.
    hungry = {
        "model": SMALL["model"] | {"architecture": "decoder_only", "vocab_size": 200_000},
        "training": {"batch_size": 1000, "sequence_length": 1000},
        "analyses": ["gradients"],
    }
    hungry["model"]["decoder_layers"] = hungry["model"].pop("encoder_layers")
    job = service.diagnose(hungry)
    assert job["state"] == "failed"
    assert job["problem"]["type"] == "urn:trimtab:problem:out-of-memory"
    assert len(job["attempts"]) == 1
    assert device_of(service.diagnose(SMALL)) == "cuda:0"
    service.stop()


def test_a_job_that_breaks_the_gpu_for_its_process_fails_alone(serve: Serve) -> None:
    service = serve(TRIMTAB_DEVICE="auto")
    service.wait_until_ready()
    # Positions that the table does not hold are found out in a kernel.
    short = {"model_type": "roberta", "vocab_size": 300, "max_position_embeddings": 16}
    job = service.diagnose(request(short | SMALL_CONFIG).model_dump(mode="json"))
    assert job["state"] == "failed"
    assert job["problem"]["type"] == "urn:trimtab:problem:gpu-lost"
    assert "GPU" in job["problem"]["detail"]
    assert len(job["attempts"]) == 1
    assert device_of(service.diagnose(SMALL)) == "cuda:0"
    service.stop()

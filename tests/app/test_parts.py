"""The commands that containers use, and work that takes more than it may."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import create_engine, inspect

from tests.service import LONG, SMALL, TRIMTAB, Service, environment, pool_process


def run(home: Path, *words: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    env = environment(home) | settings
    return subprocess.run([*map(str, words)], env=env, capture_output=True, text=True)


def test_the_health_of_a_service_and_of_its_workers_can_be_asked(service: Service) -> None:
    asked = run(service.home, TRIMTAB, "health", "--url", service.url)
    assert (asked.returncode, asked.stderr) == (0, "")
    worker = (sys.executable, "-m", "worker.health")
    database = {"TRIMTAB_DATABASE_URL": service.database_url}
    assert run(service.home, *worker, **database).returncode == 0
    assert run(service.home, *worker, "--name", "another", **database).returncode == 1


def test_a_service_that_is_not_there_is_not_healthy(home: Path) -> None:
    asked = run(home, TRIMTAB, "health", "--url", "http://127.0.0.1:1")
    assert asked.returncode == 3
    assert "does not answer" in asked.stderr


def test_migrations_alone_make_every_table(home: Path, database_url: str) -> None:
    done = run(home, TRIMTAB, "migrate", TRIMTAB_DATABASE_URL=database_url)
    assert done.returncode == 0, done.stderr
    engine = create_engine(database_url)
    assert {"jobs", "attempts", "workers"} <= set(inspect(engine).get_table_names())
    engine.dispose()


def test_a_database_that_is_not_there_is_told_in_a_sentence(home: Path) -> None:
    done = run(home, TRIMTAB, "migrate", TRIMTAB_DATABASE_URL="postgresql://nobody@127.0.0.1:1/x")
    assert done.returncode == 3
    assert "TRIMTAB_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_api_alone_needs_a_broker(home: Path) -> None:
    done = run(home, TRIMTAB, "api", "--port", "0")
    assert done.returncode == 3
    assert "TRIMTAB_BROKER_URL" in done.stderr


def test_what_takes_too_long_fails_by_itself(serve: Callable[..., Service]) -> None:
    service = serve(TRIMTAB_JOB_TIME_LIMIT_SECONDS="8")
    service.wait_until_ready()
    slow = service.diagnose(LONG, wait=90)
    assert slow["state"] == "failed"
    assert slow["problem"]["type"].endswith("time-limit"), slow["problem"]
    assert "8 seconds" in slow["problem"]["detail"]

    assert service.diagnose(SMALL, wait=90)["state"] == "succeeded"
    service.stop()


def test_a_job_that_uses_up_its_memory_fails_alone(serve: Callable[..., Service]) -> None:
    service = serve(TRIMTAB_MAX_MEMORY_BYTES=str(200 * 2**20))
    service.wait_until_ready()
    assert service.diagnose(SMALL)["state"] == "succeeded"
    worker = service.worker()
    assert worker is not None
    process = pool_process(worker)
    # Its weights take 2 MB, which is what admission knows; its attention takes 268 MB a layer.
    config = {
        "model_type": "gpt2",
        "n_layer": 2,
        "n_embd": 64,
        "n_head": 4,
        "n_positions": 512,
        "vocab_size": 320,
    }
    hungry = service.diagnose(
        {
            "model": {"kind": "huggingface", "config": config},
            "training": {"batch_size": 64, "sequence_length": 512},
        }
    )
    assert hungry["state"] == "failed"
    assert hungry["problem"]["type"].endswith("out-of-memory"), hungry["problem"]
    assert "TRIMTAB_MAX_MEMORY_BYTES" in hungry["problem"]["detail"]
    assert len(hungry["attempts"]) == 1

    assert service.diagnose(SMALL)["state"] == "succeeded"
    assert pool_process(worker) == process
    service.stop()


def test_what_cannot_fit_is_refused_with_the_estimate_and_the_limit(service: Service) -> None:
    model = SMALL["model"] | {"encoder_layers": 1000, "d_model": 256}
    training = {"batch_size": 64, "sequence_length": 1024}
    answer = service.http.post("/v1/diagnoses", json={"model": model, "training": training})
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"].endswith("limit-exceeded")
    assert problem["quantity"] == "bytes of memory"
    assert problem["requested"] > problem["limit"]
    assert problem["setting"] == "TRIMTAB_MAX_MEMORY_BYTES"

"""The life of `trimtab serve`, and what happens when it or a part of it dies."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from tests.service import (
    LONG,
    SMALL,
    TRIMTAB,
    Service,
    descendants,
    environment,
    is_alive,
    pool_process,
    until,
)

Serve = Callable[..., Service]

MEDIUM = LONG | {"model": LONG["model"] | {"encoder_layers": 40, "d_model": 64}}
"""Long enough to be interrupted, and short enough to be done again."""


def refused(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TRIMTAB, "serve", *options], env=environment(home), capture_output=True, text=True
    )


class TestAConnection:
    def test_that_is_kept_is_no_slower_than_a_new_one(self, service: Service) -> None:
        # Small packets that wait to be acknowledged would cost 40 ms on it.
        def median_seconds(connection: str) -> float:
            taken = []
            for _ in range(21):
                began = time.perf_counter()
                answer = service.http.get("/v1/jobs", headers={"Connection": connection})
                taken.append(time.perf_counter() - began)
                assert answer.status_code == 200
            return median(taken)

        assert median_seconds("keep-alive") < 1.5 * median_seconds("close")


class TestStop:
    def test_sigterm_ends_everything_and_gives_running_work_back(self, serve: Serve) -> None:
        service = serve()
        service.wait_until_ready()
        job_id = service.submit_and_see_running(LONG)
        started = [service.process.pid, *descendants(service.process.pid)]
        # Broker, worker, and the worker's helper and pool process.
        assert len(started) >= 4
        assert service.stop() == 0
        assert not [pid for pid in started if is_alive(pid)]

        service = serve()
        job = service.job(job_id)
        assert job["attempts"][0]["ending"] == "released"
        service.http.delete(f"/v1/diagnoses/{job_id}")
        service.stop()

    def test_a_service_that_has_just_begun_ends_as_well(self, serve: Serve) -> None:
        service = serve()
        started = [service.process.pid, *descendants(service.process.pid)]
        assert service.stop() == 0
        until(lambda: not [pid for pid in started if is_alive(pid)], seconds=5)


class TestDeath:
    def test_of_the_worker_is_survived_by_its_job(self, serve: Serve) -> None:
        # With a lease that does not run out before the worker has seen why its process ended.
        service = serve(TRIMTAB_LEASE_SECONDS="60")
        service.wait_until_ready()
        job_id = service.submit_and_see_running(MEDIUM)

        worker = service.worker()
        assert worker is not None
        os.kill(worker, signal.SIGKILL)

        # And of the process in the worker that does the work, as a fault in native code ends it.
        until(lambda: len(service.job(job_id)["attempts"]) == 2)
        worker = service.worker()
        assert worker is not None
        os.kill(pool_process(worker), signal.SIGSEGV)

        job = service.job(job_id, wait=60)
        assert job["state"] == "succeeded", job
        assert [a["ending"] for a in job["attempts"]] == ["lost", "lost", "succeeded"]
        assert "worker process died" in job["attempts"][0]["detail"]
        assert "SIGSEGV" in job["attempts"][1]["detail"]
        # The others of its worker live on.
        assert service.worker() == worker
        service.stop()

    def test_of_the_service_is_survived_by_its_jobs(self, serve: Serve) -> None:
        service = serve()
        service.wait_until_ready()
        running = service.submit_and_see_running(LONG)
        waiting = service.submit(SMALL)
        started = descendants(service.process.pid)
        service.kill()
        assert any(is_alive(pid) for pid in started)

        service = serve()
        service.http.delete(f"/v1/diagnoses/{running}")
        assert service.job(running, wait=60)["state"] == "cancelled"
        assert service.job(waiting, wait=60)["state"] == "succeeded"
        assert service.stop() == 0
        until(lambda: not [pid for pid in started if is_alive(pid)], seconds=20)


class TestRefusals:
    def test_a_second_service_on_the_same_home_is_refused(self, service: Service) -> None:
        run = refused(service.home, "--port", "0")
        assert run.returncode == 3
        assert f"process {service.process.pid}" in run.stderr
        assert "TRIMTAB_HOME" in run.stderr

    def test_a_port_in_use_is_refused(self, home: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            run = refused(home, "--port", str(taken.getsockname()[1]))
        assert run.returncode == 3
        assert "--port" in run.stderr

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
    def test_an_address_that_others_can_reach_is_refused(self, home: Path, host: str) -> None:
        run = refused(home, "--host", host)
        assert run.returncode == 3
        assert "127.0.0.1" in run.stderr


def test_work_that_fails_unexpectedly_leaves_a_failed_job(serve: Serve, home: Path) -> None:
    # There is no such device, which only the worker can know.
    service = serve(TRIMTAB_DEVICE="cuda:99")
    job = service.diagnose(SMALL)
    assert job["state"] == "failed"
    assert job["problem"]["type"] == "urn:trimtab:problem:no-such-device"
    assert len(job["attempts"]) == 1
    assert str(home) not in str(job["problem"])
    service.stop()


def test_another_broker_takes_the_place_of_the_embedded_one(
    service: Service, serve: Serve, home: Path
) -> None:
    # The session's broker serves as one that somebody else runs.
    url = f"redis+socket://{service.home}/broker/broker.sock?virtual_host=5"
    other = serve(TRIMTAB_BROKER_URL=url)
    assert not (home / "broker").exists()
    assert other.diagnose(SMALL)["state"] == "succeeded"
    other.stop()
    assert service.http.get("/readyz").status_code == 200

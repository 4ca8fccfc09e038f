"""Races through the front door."""

import csv
import io
import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Generator
from typing import Any

import pytest
import torch

from admin_core.race import race
from admin_core.race_report import RaceReport
from admin_core.race_spec import RaceSpec
from tests.service import SMALL, Service, children, until

TINY: dict[str, Any] = {
    "model": {
        "kind": "transformer",
        "architecture": "decoder_only",
        "decoder_layers": 2,
        "d_model": 16,
        "num_heads": 2,
    },
    "training": {"steps": 12, "warmup_steps": 4, "batch_size": 4, "sequence_length": 16},
    "arms": ["post_ln", "admin"],
    "seeds": 2,
    "monitoring": {"every": 6},
    "validation": {"batches": 1},
}
"""A race that takes a second."""

LONG: dict[str, Any] = TINY | {
    "training": TINY["training"] | {"steps": 100_000},
    "monitoring": {"every": 0},
    "seeds": 1,
}
"""A race that tests interrupt."""


def submit(service: Service, body: dict[str, Any], wait: float = 0) -> dict[str, Any]:
    answer = service.http.post("/v1/races", params={"wait": wait, "fresh": True}, json=body)
    assert answer.status_code in (200, 202), answer.text
    job: dict[str, Any] = answer.json()
    return job


def look(service: Service, job: dict[str, Any], wait: float = 0) -> dict[str, Any]:
    found: dict[str, Any] = service.http.get(job["links"]["self"], params={"wait": wait}).json()
    return found


def events(
    service: Service, job: dict[str, Any], after: str | None = None
) -> Generator[Any, None, None]:
    """Name, id and data of each event, until the stream ends."""
    headers = {} if after is None else {"Last-Event-ID": after}
    path = job["links"]["events"]
    with service.http.stream("GET", path, headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in stream.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                yield fields["event"], fields.get("id"), json.loads(fields["data"])
                fields = {}


@pytest.fixture(scope="module")
def finished(service: Service) -> dict[str, Any]:
    """A race that ran to its end."""
    job = submit(service, TINY, wait=60)
    assert job["state"] == "succeeded", job
    return job


class TestSubmit:
    def test_answers_with_the_report_when_the_wait_suffices(self, finished: dict[str, Any]) -> None:
        report = RaceReport.model_validate_json(json.dumps(finished["report"]))
        assert [(arm.name, len(arm.seeds)) for arm in report.arms] == [("post_ln", 2), ("admin", 2)]
        assert report.conclusion
        assert finished["progress"]["share"] == 1
        assert {run["outcome"] for run in finished["runs"]} == {
            seed.outcome for arm in report.arms for seed in arm.seeds
        }

    def test_gives_the_losses_of_a_race_in_one_process(self, finished: dict[str, Any]) -> None:
        assert losses(finished) == in_this_process(TINY)

    def test_says_where_to_look(self, service: Service, finished: dict[str, Any]) -> None:
        path = finished["links"]["self"]
        answer = service.http.get(path)
        assert answer.json() == finished
        again = service.http.get(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304

    def test_an_idempotency_key_makes_one_race_of_two_requests(self, service: Service) -> None:
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        first = service.http.post("/v1/races", json=LONG, headers=headers)
        again = service.http.post("/v1/races", json=LONG, headers=headers)
        service.http.delete(first.headers["Location"])
        assert first.status_code == 202
        assert first.headers["Location"] == again.headers["Location"]

    def test_a_race_is_one_job_in_the_list(
        self, service: Service, finished: dict[str, Any]
    ) -> None:
        listed = service.http.get("/v1/jobs", params={"kind": "race", "limit": 200}).json()["jobs"]
        mine = [job for job in listed if job["id"] == finished["id"]]
        assert [job["links"] for job in mine] == [finished["links"]]
        assert {job["kind"] for job in listed} == {"race"}

    def test_a_race_is_no_diagnosis(self, service: Service, finished: dict[str, Any]) -> None:
        assert service.http.get(f"/v1/diagnoses/{finished['id']}").status_code == 404
        diagnosis = service.diagnose(SMALL)
        assert service.http.get(f"/v1/races/{diagnosis['id']}").status_code == 404

    def test_a_diagnosis_does_not_wait_for_a_race(self, service: Service) -> None:
        job = submit(service, LONG)
        until(lambda: look(service, job)["state"] == "running")
        assert service.diagnose(SMALL)["state"] == "succeeded"
        assert service.http.delete(job["links"]["self"]).json()["state"] == "running"
        until(lambda: look(service, job)["state"] == "cancelled")

    def test_a_race_has_exactly_the_documented_members(
        self, service: Service, finished: dict[str, Any]
    ) -> None:
        schemas = service.http.get("/openapi.json").json()["components"]["schemas"]
        assert finished.keys() == schemas["RaceView"]["properties"].keys()
        assert finished["runs"][0].keys() == schemas["RunView"]["properties"].keys()


class TestCancel:
    def test_stops_a_running_race_within_two_seconds(self, service: Service) -> None:
        job = submit(service, LONG)
        until(lambda: bool(service.http.get(job["links"]["curves"]).json()["curves"][0]["points"]))
        start = time.monotonic()
        assert service.http.delete(job["links"]["self"]).status_code == 202
        job = look(service, job, wait=30)
        # 2 seconds is the promise; the rest is for a busy machine.
        assert time.monotonic() - start < 3
        assert job["state"] == "cancelled"
        assert [run["state"] for run in job["runs"]] == ["cancelled"] * 2
        until(lambda: not list((service.home / "artifacts").glob("*")))

    def test_leaves_a_finished_race_as_it_is(
        self, service: Service, finished: dict[str, Any]
    ) -> None:
        answer = service.http.delete(finished["links"]["self"])
        assert (answer.status_code, answer.json()) == (200, finished)


class TestEvents:
    def test_tell_of_every_step_and_end_with_the_race(self, service: Service) -> None:
        job = submit(service, TINY)
        told = list(events(service, job))
        assert told[0][0] == "progress"
        assert len(told[0][2]["runs"]) == 4
        name, _, data = told[-1]
        assert name == "race"
        assert data == look(service, job)
        steps: dict[tuple[str, int], list[int]] = {}
        for name, _, data in told:
            if name == "points":
                run = steps.setdefault((data["arm"], data["seed"]), [])
                run += [point["step"] for point in data["points"]]
        assert steps == {
            (arm, seed): list(range(1, 13)) for arm in ("post_ln", "admin") for seed in (0, 1)
        }

    def test_go_on_after_the_last_one_seen(
        self, service: Service, finished: dict[str, Any]
    ) -> None:
        points = [event for event in events(service, finished) if event[0] == "points"]
        _, seen, _ = points[1]
        rest = [event for event in events(service, finished, seen) if event[0] == "points"]
        assert rest == points[2:]

    def test_of_an_unknown_race_are_not_found(self, service: Service) -> None:
        answer = service.http.get(f"/v1/races/{uuid.uuid4()}/events")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("seen", ["-1", "x", "1" * 30])
    def test_after_what_never_was_are_refused(
        self, service: Service, finished: dict[str, Any], seen: str
    ) -> None:
        path = finished["links"]["events"]
        answer = service.http.get(path, headers={"Last-Event-ID": seen})
        assert answer.status_code == 422


class TestCurves:
    def test_hold_every_loss_of_the_report(
        self, service: Service, finished: dict[str, Any]
    ) -> None:
        curves = service.http.get(finished["links"]["curves"]).json()["curves"]
        assert {
            (curve["arm"], curve["seed"]): [point["loss"] for point in curve["points"]]
            for curve in curves
        } == losses(finished)
        assert curves[0]["points"][-1]["validation_loss"] is not None

    def test_are_the_same_as_a_table(self, service: Service, finished: dict[str, Any]) -> None:
        answer = service.http.get(finished["links"]["curves_csv"])
        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(rows) == 2 * 2 * 12
        found: dict[tuple[str, int], list[float]] = {}
        for row in rows:
            found.setdefault((row["arm"], int(row["seed"])), []).append(float(row["loss"]))
        assert found == losses(finished)


class TestBadInput:
    @pytest.mark.parametrize(
        ("changes", "field", "said"),
        [
            (
                {"arms": ["admin", {"name": "wide", "patch": {"model": {"widht": 64}}}]},
                "arms.1.patch.model.widht",
                "not permitted",
            ),
            ({"arms": ["admin", "admin"]}, "arms.1.name", "arms.0 has this name already"),
            ({"arms": ["no_such"]}, "arms.0", "post_ln, pre_ln, admin"),
            ({"arms": []}, "arms", "at least 1"),
            ({"seeds": [1, 1]}, "seeds.1", "once"),
            (
                {"arms": [{"name": "a", "patch": {"training": {"learning_rate": float("nan")}}}]},
                "arms.0.patch.training.learning_rate",
                "finite",
            ),
            ({"seeds": 501}, "arms", "1,002 runs, above the limit of 1,000"),
            (
                {"training": {"steps": 10**6, "batch_size": 4, "sequence_length": 16}},
                "arms",
                "4,000,000 training steps",
            ),
            (
                {"arms": [{"name": "a", "patch": {"training": {"batch_size": 10**6}}}]},
                "arms.0.patch.training.batch_size",
                "TRIMTAB_MAX_TOKENS",
            ),
            ({"budget_seconds": 1e-6}, "budget_seconds", "48 training steps"),
        ],
    )
    def test_is_named_and_leaves_nothing_behind(
        self, service: Service, changes: dict[str, Any], field: str, said: str
    ) -> None:
        before = service.http.get("/v1/jobs", params={"limit": 1}).json()
        answer = service.http.post(
            "/v1/races",
            content=json.dumps(TINY | changes),
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 422
        error = answer.json()["errors"][0]
        assert error["field"] == field
        assert said in error["message"]
        assert service.http.get("/v1/jobs", params={"limit": 1}).json() == before


def test_an_arm_that_fails_fails_the_race_with_its_name(serve: Callable[..., Service]) -> None:
    # There is no such device, which only the worker can know.
    service = serve(TRIMTAB_DEVICE="cuda:99")
    job = submit(service, TINY, wait=60)
    assert job["state"] == "failed"
    assert job["problem"]["detail"].startswith("Arm post_ln, seed 0: ")
    assert {run["state"] for run in job["runs"]} == {"failed", "cancelled"}
    service.stop()


def test_a_race_whose_worker_is_killed_ends_with_the_same_losses(
    serve: Callable[..., Service],
) -> None:
    service = serve(TRIMTAB_CHECKPOINT_SECONDS="0.2")
    body = TINY | {
        "training": TINY["training"] | {"steps": 300},
        "arms": ["admin"],
        "seeds": 1,
    }
    job = submit(service, body)
    until(lambda: bool(list((service.home / "artifacts").glob("*/run.safetensors"))))
    worker = service.worker("long")
    assert worker is not None
    for child in children(worker):
        os.kill(child, signal.SIGKILL)

    job = look(service, job, wait=60)
    assert job["state"] == "succeeded", job
    assert job["runs"][0]["attempts"] == 2
    lines = (service.home / "logs/worker.log").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    begun = [entry["from_checkpoint"] for entry in log if entry["event"] == "training"]
    assert begun == [False, True]
    assert losses(job) == in_this_process(body)
    curve = service.http.get(job["links"]["curves"]).json()["curves"][0]
    assert [point["step"] for point in curve["points"]] == list(range(1, 301))
    assert not list((service.home / "artifacts").glob("*"))
    service.stop()


def test_a_service_that_is_told_to_stop_saves_its_run_first(serve: Callable[..., Service]) -> None:
    body = TINY | {
        "training": TINY["training"] | {"steps": 600},
        "arms": ["admin"],
        "seeds": 1,
        "monitoring": {"every": 0},
    }
    # Long after the end, so that the only checkpoint is that of the stop.
    service = serve(TRIMTAB_CHECKPOINT_SECONDS="3600")
    job = submit(service, body)
    until(lambda: bool(service.http.get(job["links"]["curves"]).json()["curves"][0]["points"]))
    service.stop()
    saved = list((service.home / "artifacts").glob("*/run.safetensors"))
    assert len(saved) == 1

    service = serve(TRIMTAB_CHECKPOINT_SECONDS="3600")
    job = look(service, job, wait=60)
    assert job["state"] == "succeeded", job
    lines = (service.home / "logs/worker.log").read_text().splitlines()
    begun = [entry for entry in map(json.loads, lines) if entry["event"] == "training"]
    assert [entry["from_checkpoint"] for entry in begun] == [False, True]
    assert losses(job) == in_this_process(body)
    curve = service.http.get(job["links"]["curves"]).json()["curves"][0]
    assert [point["step"] for point in curve["points"]] == list(range(1, 601))
    service.stop()


def losses(job: dict[str, Any]) -> dict[tuple[str, int], list[float]]:
    arms = job["report"]["arms"]
    return {(arm["name"], seed["seed"]): seed["losses"] for arm in arms for seed in arm["seeds"]}


def in_this_process(body: dict[str, Any]) -> dict[tuple[str, int], list[float]]:
    # As many threads as the service's worker has: sums depend on how they are split.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        report = race(RaceSpec.model_validate(body))
    finally:
        torch.set_num_threads(threads)
    return {(arm.name, seed.seed): seed.losses for arm in report.arms for seed in arm.seeds}

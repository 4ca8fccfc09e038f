"""A caller's own training loop, told of through the front door."""

import csv
import io
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.app.test_races import events
from tests.service import Service, until


def begin(service: Service, **spec: Any) -> dict[str, Any]:
    answer = service.http.post("/v1/runs", json={"name": "mine", **spec})
    assert answer.status_code == 201, answer.text
    run: dict[str, Any] = answer.json()
    assert answer.headers["location"] == run["links"]["self"]
    return run


def push(service: Service, run: dict[str, Any], *losses: float | None, first: int = 1) -> Any:
    points = [{"step": first + n, "loss": loss} for n, loss in enumerate(losses)]
    return service.http.post(run["links"]["points"], json={"points": points})


def look(service: Service, run: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = service.http.get(run["links"]["self"]).json()
    return found


class TestARun:
    def test_tells_its_points_and_finishes(self, service: Service) -> None:
        run = begin(service, steps=4)
        assert push(service, run, 3.0, 2.5).json() == {"accepted": 2, "last_step": 2}
        assert push(service, run, 2.5, None, first=2).json() == {"accepted": 1, "last_step": 3}
        progress = look(service, run)["progress"]
        assert (progress["stage"], progress["share"]) == ("training", 0.75)
        ended = service.http.post(run["links"]["finish"], json={"state": "succeeded"})
        assert ended.json()["state"] == "succeeded"
        assert ended.json()["report"]["lowest_loss"] == 2.5
        curve = service.http.get(run["links"]["curves"]).json()["points"]
        assert [point["loss"] for point in curve] == [3.0, 2.5, None]
        table = service.http.get(run["links"]["curves_csv"]).text
        rows = list(csv.DictReader(io.StringIO(table)))
        assert [row["step"] for row in rows] == ["1", "2", "3"]

    def test_is_watched_as_a_race_is(self, service: Service) -> None:
        run = begin(service)
        push(service, run, 3.0, 2.0)
        stream = events(service, run)
        name, first, data = next(stream)
        assert (name, [point["step"] for point in data["points"]]) == ("points", [1, 2])
        push(service, run, 1.5, first=3)
        service.http.post(run["links"]["finish"], json={"state": "succeeded"})
        rest = list(stream)
        assert [name for name, _, _ in rest] == ["points", "run"]
        assert rest[-1][2] == look(service, run)
        # From the first event on, the rest comes again.
        assert [event[1] for event in events(service, run, after=first)] == [rest[0][1], None]

    def test_is_one_job_in_the_list_and_no_race(self, service: Service) -> None:
        run = begin(service)
        listed = service.http.get("/v1/jobs", params={"kind": "run"}).json()["jobs"]
        assert listed[0]["id"] == run["id"]
        assert service.http.get(f"/v1/races/{run['id']}").status_code == 404

    def test_the_same_key_begins_it_once(self, service: Service) -> None:
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        first, again = (
            service.http.post("/v1/runs", json={"name": "mine"}, headers=headers) for _ in range(2)
        )
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["id"] == again.json()["id"]

    def test_that_is_cancelled_takes_no_more_points(self, service: Service) -> None:
        run = begin(service)
        assert service.http.delete(run["links"]["self"]).json()["state"] == "cancelled"
        refused = push(service, run, 1.0)
        assert refused.status_code == 409
        assert refused.json()["type"] == "urn:trimtab:problem:run-over"
        assert "was cancelled" in refused.json()["detail"]

    def test_has_exactly_the_documented_members(self, service: Service) -> None:
        schemas = service.http.get("/openapi.json").json()["components"]["schemas"]
        assert begin(service).keys() == schemas["WatchedRunView"]["properties"].keys()


@pytest.mark.parametrize(
    ("points", "field"),
    [
        ([{"step": 0, "loss": 1.0}], "points.0.step"),
        ([{"step": 1, "loss": "1.0"}], "points.0.loss"),
        ([{"step": 1}], "points.0.loss"),
        ([{"step": 1, "loss": 1.0, "los": 1.0}], "points.0.los"),
        ([{"step": 2, "loss": 1.0}, {"step": 2, "loss": 1.0}], "points"),
        ([{"step": n, "loss": 1.0} for n in range(1, 1_002)], "points"),
    ],
)
def test_bad_points_are_refused_by_their_field(
    service: Service, points: list[Any], field: str
) -> None:
    run = begin(service)
    refused = service.http.post(run["links"]["points"], json={"points": points})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == field
    assert look(service, run)["report"]["num_points"] == 0


def test_an_unknown_run_is_not_found(service: Service) -> None:
    run = "/v1/runs/no-such-run"
    assert service.http.post(f"{run}/points", json={"points": []}).status_code == 404
    assert service.http.post(f"{run}/finish", json={"state": "failed"}).status_code == 404
    assert service.http.delete(run).status_code == 404
    for path in ("", "/events", "/curves.json", "/curves.csv"):
        assert service.http.get(run + path).status_code == 404, path


def test_silent_and_full_runs_are_closed_and_refused(serve: Callable[..., Service]) -> None:
    service = serve(TRIMTAB_RUN_SILENCE_SECONDS="2", TRIMTAB_MAX_RUN_POINTS="2")
    run = begin(service)
    full = push(service, run, 1.0, 1.0, 1.0)
    assert full.status_code == 409
    assert "TRIMTAB_MAX_RUN_POINTS" in full.json()["detail"]
    until(lambda: look(service, run)["state"] == "failed")
    assert look(service, run)["problem"]["type"] == "urn:trimtab:problem:run-abandoned"

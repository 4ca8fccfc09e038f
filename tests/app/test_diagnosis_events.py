import uuid
from typing import Any

import pytest

from tests.app.test_races import events
from tests.service import LONG, SMALL, Service, until

PROBED: dict[str, Any] = SMALL | {
    "model": SMALL["model"] | {"encoder_layers": 4},
    "training": {"batch_size": 4, "sequence_length": 16, "steps": 200, "warmup_steps": 20},
    "analyses": ["verdict", "edges"],
}
"""A request that is judged by some sixty probes, which takes seconds."""


@pytest.fixture(scope="module")
def watched(service: Service) -> list[Any]:
    """All events of a diagnosis from its beginning."""
    answer = service.http.post("/v1/diagnoses", params={"fresh": True}, json=PROBED)
    return list(events(service, answer.json()))


class TestEvents:
    def test_rise_and_end_with_the_finished_job(self, service: Service, watched: list[Any]) -> None:
        name, _, job = watched[-1]
        assert name == "diagnosis"
        assert job == service.job(job["id"])
        assert job["state"] == "succeeded"
        progress = [data for name, _, data in watched if name == "progress"]
        assert len(progress) == len(watched) - 1
        assert progress[0].keys() == {"state", "stage", "share", "seconds_left"}
        shares = [data["share"] for data in progress]
        assert shares == sorted(shares)
        assert len(set(shares)) > 3

    def test_estimate_the_time_left_once_they_can(self, watched: list[Any]) -> None:
        told = [data for name, _, data in watched if name == "progress"]
        assert told[0]["seconds_left"] is None
        known = [data for data in told if data["seconds_left"] is not None]
        assert known
        assert known[-1]["seconds_left"] < 60

    def test_say_nothing_again_to_a_reader_who_comes_back(self, service: Service) -> None:
        job_id = service.submit_and_see_running(LONG)
        until(lambda: service.job(job_id)["progress"]["stage"] is not None)
        job = service.job(job_id)
        told = events(service, job)
        _, seen, _ = next(told)
        told.close()
        rest = events(service, job, after=seen)
        service.http.delete(job["links"]["self"])
        again = list(rest)
        assert seen not in [event_id for _, event_id, _ in again]
        assert (again[-1][0], again[-1][2]["state"]) == ("diagnosis", "cancelled")

    def test_of_a_finished_diagnosis_are_the_job_alone(self, service: Service) -> None:
        job = service.diagnose(SMALL)
        assert list(events(service, job)) == [("diagnosis", None, job)]

    def test_of_an_unknown_diagnosis_are_not_found(self, service: Service) -> None:
        answer = service.http.get(f"/v1/diagnoses/{uuid.uuid4()}/events")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_an_estimate_that_goes_down_is_no_news_to_who_has_the_rest(service: Service) -> None:
    job_id = service.submit_and_see_running(LONG)
    path = f"/v1/diagnoses/{job_id}"

    def is_known() -> bool:
        tag = service.http.get(path).headers["ETag"]
        again = service.http.get(path, headers={"If-None-Match": tag})
        return again.status_code == 304

    until(is_known)
    service.http.delete(path)

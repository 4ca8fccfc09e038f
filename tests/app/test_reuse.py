"""The same question is answered once."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import httpx
import pytest

from tests.app.test_races import TINY
from tests.service import LONG, SMALL, Service

_SEEDS = count(1_000)


def new(body: dict[str, Any]) -> dict[str, Any]:
    """`body`, as nobody has asked before."""
    seed = next(_SEEDS)
    return body | ({"seeds": [seed]} if "arms" in body else {"seed": seed})


def post(service: Service, path: str, body: dict[str, Any], **query: Any) -> httpx.Response:
    answer = service.http.post(path, params=query, json=body)
    assert answer.status_code in (200, 202), answer.text
    return answer


@pytest.mark.parametrize(("path", "body"), [("/v1/diagnoses", SMALL), ("/v1/races", TINY)])
class TestTheSameSpec:
    def test_is_answered_at_once_by_the_job_that_is_there(
        self, service: Service, path: str, body: dict[str, Any]
    ) -> None:
        body = new(body)
        first = post(service, path, body, wait=60).json()
        again = post(service, path, body)
        assert again.status_code == 200
        assert again.headers["Location"] == first["links"]["self"]
        reused = {"reused": first["links"]["self"]}
        assert again.json() == first | {"links": first["links"] | reused}
        seen = service.http.get(first["links"]["self"])
        assert seen.json() == first
        assert seen.headers["ETag"] == again.headers["ETag"]

    def test_is_worked_on_again_if_that_is_asked_for(
        self, service: Service, path: str, body: dict[str, Any]
    ) -> None:
        body = new(body)
        first = post(service, path, body, wait=60).json()
        fresh = post(service, path, body, wait=60, fresh="true").json()
        assert fresh["id"] != first["id"]
        assert "reused" not in fresh["links"]

    def test_is_worked_on_again_once_the_job_was_deleted(
        self, service: Service, path: str, body: dict[str, Any]
    ) -> None:
        body = new(body)
        first = post(service, path, body, wait=60).json()
        deleted = service.http.delete(first["links"]["self"])
        assert (deleted.status_code, deleted.json()) == (200, first)
        assert post(service, path, body).json()["id"] != first["id"]

    def test_is_one_job_for_all_who_ask_together(
        self, service: Service, path: str, body: dict[str, Any]
    ) -> None:
        body = new(body)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: post(service, path, body).json(), range(8)))
        assert len({job["id"] for job in answers}) == 1
        assert sum("reused" in job["links"] for job in answers) == 7


class TestADiagnosis:
    def test_under_way_is_joined_and_once_cancelled_no_more(self, service: Service) -> None:
        body = new(LONG)
        job_id = service.submit_and_see_running(body)
        joined = post(service, "/v1/diagnoses", body)
        assert (joined.status_code, joined.json()["id"]) == (202, job_id)
        service.http.delete(f"/v1/diagnoses/{job_id}")
        other = post(service, "/v1/diagnoses", body).json()
        assert other["id"] != job_id
        service.http.delete(other["links"]["self"])

    def test_that_failed_is_tried_again(self, service: Service) -> None:
        # One step of this size throws the weights out of float32's range.
        training = {"optimizer": "sgd", "learning_rate": 1e6, "weight_decay": 1e3}
        body = new(SMALL | {"training": training})
        failed = post(service, "/v1/diagnoses", body, wait=60).json()
        assert failed["state"] == "failed"
        assert post(service, "/v1/diagnoses", body).json()["id"] != failed["id"]

    def test_of_a_new_idempotency_key_is_a_new_one(self, service: Service) -> None:
        body = new(SMALL)
        first = post(service, "/v1/diagnoses", body, wait=60).json()
        headers = {"Idempotency-Key": first["id"]}
        keyed = service.http.post("/v1/diagnoses", json=body, headers=headers).json()
        assert keyed["id"] != first["id"]
        again = service.http.post("/v1/diagnoses", json=body, headers=headers).json()
        assert again["id"] == keyed["id"]

    def test_is_shared_with_the_gate(self, service: Service) -> None:
        body = new(SMALL)
        first = post(service, "/v1/diagnoses", body, wait=60).json()
        gate = service.http.post("/v1/gate", params={"wait": 0}, json=body).json()
        assert gate["links"]["diagnosis"] == first["links"]["self"]
        query: dict[str, str | int] = {"fresh": "true", "wait": 60}
        fresh = service.http.post("/v1/gate", params=query, json=body).json()
        assert fresh["links"]["diagnosis"] != first["links"]["self"]


def test_a_fresh_gate_that_is_retried_waits_for_what_it_began(service: Service) -> None:
    body = new(LONG)
    query: dict[str, str | float] = {"fresh": "true", "wait": 0.2}
    answers = [service.http.post("/v1/gate", params=query, json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [503, 503]
    jobs = {answer.json()["links"]["diagnosis"] for answer in answers}
    for job in jobs:
        service.http.delete(job)
    assert len(jobs) == 1

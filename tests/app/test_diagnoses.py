import shutil
import subprocess
import time
import uuid
from typing import Any

import pytest

from admin_core.report import Report
from tests.service import LONG, SMALL, Service, until


class TestSubmit:
    def test_answers_with_the_report_when_the_wait_suffices(self, service: Service) -> None:
        answer = service.http.post("/v1/diagnoses", params={"wait": 60}, json=SMALL)
        assert answer.status_code == 200
        job = answer.json()
        assert job["state"] == "succeeded"
        assert answer.headers["Location"] == job["links"]["self"]
        report = Report.model_validate(job["report"])
        assert [branch.index for branch in report.branches] == [1, 2, 3, 4]
        assert report.verdict is not None
        assert job["outcome"] == report.verdict.outcome
        assert [attempt["ending"] for attempt in job["attempts"]] == ["succeeded"]
        assert job["problem"] is None

    def test_answers_at_once_without_a_wait(self, service: Service) -> None:
        answer = service.http.post("/v1/diagnoses", params={"fresh": True}, json=SMALL)
        assert answer.status_code == 202
        assert answer.json()["state"] in ("queued", "running")
        assert service.http.get(answer.headers["Location"]).json()["id"] == answer.json()["id"]

    def test_the_same_request_gives_the_same_numbers(self, service: Service) -> None:
        one, other = service.diagnose(SMALL)["report"], service.diagnose(SMALL)["report"]
        for report in (one, other):
            del report["environment"]["durations_seconds"]
        assert one == other

    def test_the_wait_ends_soon_after_the_job(self, service: Service) -> None:
        job_id = service.submit(SMALL)
        service.job(job_id, wait=60)
        answered = time.time()
        finished = service.http.get(f"/v1/diagnoses/{job_id}").json()["finished_at"]
        # Two clocks of one machine, and a machine that does other things.
        assert answered - _seconds(finished) < 0.5

    def test_an_idempotency_key_makes_one_job_of_two_requests(self, service: Service) -> None:
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        first = service.http.post("/v1/diagnoses", json=SMALL, headers=headers)
        again = service.http.post("/v1/diagnoses", json=SMALL, headers=headers)
        assert first.json()["id"] == again.json()["id"]
        other = service.http.post("/v1/diagnoses", json=SMALL | {"seed": 1}, headers=headers)
        assert other.status_code == 422
        assert other.json()["type"].endswith("idempotency-key-reused")

    @pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
    def test_plain_curl_gets_a_report(self, service: Service) -> None:
        body = (
            '{"model": {"kind": "transformer", "architecture": "decoder_only", '
            '"decoder_layers": 2, "d_model": 16, "num_heads": 2}, "analyses": ["omega"]}'
        )
        run = subprocess.run(
            [
                *("curl", "--silent", "--show-error", "--fail"),
                f"{service.url}/v1/diagnoses?wait=60",
                *("-H", "content-type: application/json", "-d", body),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert '"state":"succeeded"' in run.stdout


class TestGet:
    def test_an_etag_saves_sending_what_is_known(self, service: Service) -> None:
        job = service.diagnose(SMALL)
        path = job["links"]["self"]
        tag = service.http.get(path).headers["ETag"]
        again = service.http.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert service.http.get(path, headers={"If-None-Match": '"other"'}).status_code == 200

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    @pytest.mark.parametrize("job_id", [str(uuid.UUID(int=7)), "nonsense", "%00", "a" * 1000])
    def test_an_unknown_id_is_not_found(self, service: Service, method: str, job_id: str) -> None:
        answer = service.http.request(method, f"/v1/diagnoses/{job_id}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


class TestCancel:
    def test_running_work_stops_within_two_seconds(self, service: Service) -> None:
        job_id = service.submit_and_see_running(LONG)
        start = time.monotonic()
        assert service.http.delete(f"/v1/diagnoses/{job_id}").status_code == 202
        assert service.job(job_id, wait=30)["state"] == "cancelled"
        # 2 seconds is the promise; the rest is for a busy machine.
        assert time.monotonic() - start < 3
        assert service.diagnose(SMALL)["state"] == "succeeded"

    def test_a_queued_job_is_cancelled_at_once(self, service: Service) -> None:
        running = service.submit_and_see_running(LONG)
        waiting = service.submit(SMALL)
        answer = service.http.delete(f"/v1/diagnoses/{waiting}")
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        service.http.delete(f"/v1/diagnoses/{running}")
        assert service.job(waiting, wait=30)["state"] == "cancelled"

    def test_a_finished_job_stays_as_it_is(self, service: Service) -> None:
        job = service.diagnose(SMALL)
        answer = service.http.delete(job["links"]["self"])
        assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")


class TestAJobThatFails:
    def test_holds_a_problem(self, service: Service) -> None:
        # One step of this size throws the weights out of float32's range.
        job = service.diagnose(
            SMALL | {"training": {"optimizer": "sgd", "learning_rate": 1e6, "weight_decay": 1e3}}
        )
        if job["state"] == "succeeded":
            pytest.fail(str(job["report"]["verdict"]))
        assert job["state"] == "failed"
        assert job["report"] is None
        assert job["problem"]["status"] == 422
        assert job["problem"]["detail"]


class TestJobs:
    def test_lists_the_newest_first_in_pages(self, service: Service) -> None:
        ids = [service.diagnose(SMALL)["id"] for _ in range(3)]
        first = service.http.get("/v1/jobs", params={"limit": 2}).json()
        assert [job["id"] for job in first["jobs"]] == [ids[2], ids[1]]
        assert "report" not in first["jobs"][0]
        second = service.http.get(
            "/v1/jobs", params={"limit": 2, "cursor": first["next_cursor"]}
        ).json()
        assert second["jobs"][0]["id"] == ids[0]

    def test_filters_by_outcome(self, service: Service) -> None:
        outcome = service.diagnose(SMALL)["outcome"]
        for wanted in ("stable", "at_risk", "unstable"):
            jobs = service.http.get("/v1/jobs", params={"outcome": wanted}).json()["jobs"]
            assert all(job["outcome"] == wanted for job in jobs)
            assert (wanted == outcome) <= bool(jobs)

    def test_pages_of_a_filter_hold_all_that_it_lets_through(self, service: Service) -> None:
        mine = [service.submit(LONG | {"seed": 100 + n}) for n in range(3)]
        for job_id in mine:
            service.http.delete(f"/v1/diagnoses/{job_id}")
        until(lambda: all(service.job(job_id)["state"] == "cancelled" for job_id in mine))
        query: dict[str, Any] = {"limit": 2, "state": "cancelled", "kind": "diagnosis"}
        first = service.http.get("/v1/jobs", params=query).json()
        query["cursor"] = first["next_cursor"]
        second = service.http.get("/v1/jobs", params=query).json()
        found = [*first["jobs"], *second["jobs"]]
        assert [job["id"] for job in found[:3]] == mine[::-1]
        assert {(job["state"], job["kind"]) for job in found} == {("cancelled", "diagnosis")}

    @pytest.mark.parametrize(
        "query", [{"cursor": "\0"}, {"cursor": "x" * 36}, {"state": "done"}, {"kind": "race_run"}]
    )
    def test_a_filter_or_cursor_that_is_none_is_refused(
        self, service: Service, query: dict[str, str]
    ) -> None:
        answer = service.http.get("/v1/jobs", params=query)
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert error["field"] == next(iter(query))

    def test_the_last_page_has_no_next(self, service: Service) -> None:
        service.diagnose(SMALL)
        page: dict[str, Any] = {"next_cursor": None}
        while True:
            query = {"limit": 200} | ({"cursor": c} if (c := page["next_cursor"]) else {})
            page = service.http.get("/v1/jobs", params=query).json()
            if page["next_cursor"] is None:
                break


def _seconds(timestamp: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(timestamp).timestamp()


def test_jobs_run_one_after_another_in_order(service: Service) -> None:
    ids = [service.submit(SMALL | {"seed": seed}) for seed in range(4)]
    until(lambda: all(service.job(i)["state"] == "succeeded" for i in ids))
    started = [service.job(i)["started_at"] for i in ids]
    assert started == sorted(started)

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.app.prescribed import PRESCRIPTION, diagnosed, verdict
from tests.service import EXAMPLES, LONG, SMALL, TRIMTAB, Service, environment

STABLE, UNSTABLE = EXAMPLES / "stable.json", EXAMPLES / "unstable.json"


def post(service: Service, file: Path, **query: str) -> tuple[int, dict[str, object]]:
    answer = service.http.post(
        "/v1/gate",
        params=query,
        content=file.read_bytes(),
        headers={"content-type": "application/json"},
    )
    return answer.status_code, answer.json()


def judged(service: Service, job_id: str, **query: Any) -> tuple[int, dict[str, Any]]:
    answer = service.http.get(f"/v1/diagnoses/{job_id}/gate", params=query)
    return answer.status_code, answer.json()


class TestPost:
    def test_a_stable_model_passes(self, service: Service) -> None:
        status, answer = post(service, STABLE)
        assert (status, answer["passed"], answer["outcome"]) == (200, True, "stable")

    def test_an_unstable_model_fails_with_its_reasons_in_words(self, service: Service) -> None:
        status, problem = post(service, UNSTABLE)
        assert (status, problem["outcome"]) == (409, "unstable")
        assert str(problem["detail"]).startswith("The verdict is unstable. Over ")
        assert problem["reasons"]

    def test_asking_again_is_the_same_diagnosis(self, service: Service) -> None:
        assert post(service, STABLE)[1]["links"] == post(service, STABLE)[1]["links"]

    def test_an_unfinished_diagnosis_is_to_be_asked_for_again(self, service: Service) -> None:
        answer = service.http.post("/v1/gate", params={"wait": 0}, json=LONG)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"].isdecimal()
        job = answer.json()["links"]["diagnosis"]
        service.http.delete(job)
        cancelled = service.http.get(f"{job}/gate")
        assert cancelled.status_code == 424
        assert "cancelled" in cancelled.json()["detail"]


class TestGet:
    def test_judges_a_diagnosis_that_is_there(self, service: Service) -> None:
        job = service.diagnose(SMALL)
        answer = service.http.get(job["links"]["gate"], params={"fail_on": "at_risk"})
        assert answer.status_code == (200 if job["outcome"] == "stable" else 409)

    def test_a_diagnosis_without_verdict_cannot_be_judged(self, service: Service) -> None:
        job = service.diagnose(SMALL | {"analyses": ["omega"]})
        assert service.http.get(job["links"]["gate"]).status_code == 424

    def test_an_unknown_diagnosis_is_not_found(self, service: Service) -> None:
        assert service.http.get("/v1/diagnoses/nothing/gate").status_code == 404

    def test_a_failing_verdict_names_the_smallest_change(self, service: Service) -> None:
        job_id = diagnosed(service, SMALL, verdict("unstable", 0.83, PRESCRIPTION))
        status, problem = judged(service, job_id)
        assert status == 409
        assert problem["detail"] == (
            "The verdict is unstable. Over 4 sub-layers the decoder amplifies too much. The "
            "smallest change that is predicted to make it train: Admin in place of Post-LN "
            "(failure probability 0.04)."
        )
        assert problem["prescriptions"] == [PRESCRIPTION]

    def test_a_verdict_of_a_version_that_gave_no_probability_can_be_judged(
        self, service: Service
    ) -> None:
        old = {"outcome": "stable", "reasons": []}
        status, answer = judged(service, diagnosed(service, SMALL, old))
        assert (status, answer["failure_probability"]) == (200, None)


class TestByProbability:
    def test_the_probability_decides(self, service: Service) -> None:
        job_id = diagnosed(service, SMALL, verdict("at_risk", 0.4))
        status, problem = judged(service, job_id, max_failure_probability=0.3)
        assert (status, problem["judged_by"]) == (409, ["failure_probability"])
        assert "0.4, above the 0.3 that may pass" in problem["detail"]
        status, answer = judged(service, job_id, max_failure_probability=0.5)
        assert (status, answer["passed"]) == (200, True)
        assert answer["fail_on"] is None

    def test_of_a_verdict_without_one_the_outcome_decides(self, service: Service) -> None:
        for outcome, expected in (("at_risk", 200), ("unstable", 409)):
            job_id = diagnosed(service, SMALL, verdict(outcome, None))
            status, answer = judged(service, job_id, max_failure_probability=0.3)
            assert (status, answer["judged_by"]) == (expected, ["outcome"])
            assert answer["fail_on"] == "unstable"
            assert "so that its outcome decides" in answer["detail"]

    @pytest.mark.parametrize("threshold", ["-0.1", "1.1", "nan", "x"])
    def test_no_probability_is_refused_by_name(self, service: Service, threshold: str) -> None:
        query = {"max_failure_probability": threshold}
        problem = service.http.get("/v1/diagnoses/any/gate", params=query).json()
        assert problem["status"] == 422
        assert problem["errors"][0]["field"] == "max_failure_probability"


class TestAgainstABaseline:
    def test_only_a_regression_fails(self, service: Service) -> None:
        baseline = diagnosed(service, SMALL, verdict("unstable", 0.7))
        worse = diagnosed(service, SMALL, verdict("unstable", 0.9))
        status, answer = judged(service, baseline, baseline=baseline)
        assert (status, answer["outcome"]) == (200, "unstable")
        assert answer["links"]["baseline"] == f"/v1/diagnoses/{baseline}"
        assert "As in the baseline" in answer["detail"]
        status, problem = judged(service, worse, baseline=baseline)
        assert (status, problem["judged_by"]) == (409, ["baseline"])
        assert "rose from 0.7 to 0.9, by more than 0.1" in problem["detail"]

    def test_can_be_asked_of_a_spec(self, service: Service) -> None:
        # Of the service's own verdicts, as CI would use it.
        old = service.diagnose(json.loads(UNSTABLE.read_text()))
        assert post(service, UNSTABLE, baseline=old["id"])[0] == 200
        better = service.diagnose(json.loads(STABLE.read_text()))
        assert post(service, UNSTABLE, baseline=better["id"])[0] == 409

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_that_is_unknown_is_not_found_by_name(self, service: Service, method: str) -> None:
        job_id = diagnosed(service, SMALL, verdict("stable", 0.1))
        path = "/v1/gate" if method == "POST" else f"/v1/diagnoses/{job_id}/gate"
        body = SMALL if method == "POST" else None
        answer = service.http.request(method, path, params={"baseline": "nothing"}, json=body)
        assert answer.status_code == 404
        assert answer.json()["errors"][0]["field"] == "baseline"

    def test_that_has_no_verdict_is_refused_before_any_work(self, service: Service) -> None:
        without = diagnosed(service, SMALL, None)
        running = service.submit(LONG)
        before = service.http.get("/v1/jobs", params={"limit": 1}).json()
        for job_id in (without, running):
            query = {"baseline": job_id}
            answer = service.http.post("/v1/gate", params=query, json=SMALL | {"seed": 77})
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["field"] == "baseline"
        jobs = service.http.get("/v1/jobs", params={"limit": 1}).json()["jobs"]
        service.http.delete(f"/v1/diagnoses/{running}")
        assert jobs[0]["id"] == before["jobs"][0]["id"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
class TestCiCheck:
    """examples/ci-check.sh: the gate with nothing but curl."""

    def check(self, service: Service, file: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [EXAMPLES / "ci-check.sh", file],
            env=os.environ | {"TRIMTAB_URL": service.url},
            capture_output=True,
            text=True,
        )

    def test_exits_0_for_a_stable_model(self, service: Service) -> None:
        assert self.check(service, STABLE).returncode == 0

    def test_exits_22_for_an_unstable_model_with_the_reason_on_the_screen(
        self, service: Service
    ) -> None:
        run = self.check(service, UNSTABLE)
        assert run.returncode == 22
        assert "The verdict is unstable. Over " in run.stdout

    def test_exits_22_for_a_bad_request(self, service: Service, tmp_path: Path) -> None:
        (tmp_path / "bad.json").write_text("{}")
        run = self.check(service, tmp_path / "bad.json")
        assert run.returncode == 22
        assert "model" in run.stdout


class TestCommand:
    """trimtab gate."""

    def gate(self, file: Path, *options: str, url: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [TRIMTAB, "gate", file, "--url", url, *options], capture_output=True, text=True
        )

    def test_exits_0_for_a_stable_model(self, service: Service) -> None:
        run = self.gate(STABLE, url=service.url)
        assert (run.returncode, run.stdout.split(":")[0]) == (0, "stable")

    def test_exits_1_for_an_unstable_model(self, service: Service) -> None:
        run = self.gate(UNSTABLE, url=service.url)
        assert run.returncode == 1
        assert "Over " in run.stdout

    def test_takes_thresholds_and_a_baseline(self, service: Service) -> None:
        old = service.diagnose(json.loads(UNSTABLE.read_text()))
        run = self.gate(UNSTABLE, "--baseline", old["id"], "--fresh", url=service.url)
        assert run.returncode == 0
        assert "unstable: passes" in run.stdout
        assert "As in the baseline" in run.stdout
        run = self.gate(STABLE, "--max-failure-probability", "0.3", url=service.url)
        assert run.returncode == 0, run.stdout
        run = self.gate(STABLE, "--baseline", "nothing", url=service.url)
        assert run.returncode == 2
        assert "baseline: " in run.stderr

    def test_exits_2_for_a_model_above_the_services_limit(
        self, service: Service, tmp_path: Path
    ) -> None:
        (tmp_path / "big.json").write_text(
            '{"model": {"kind": "transformer", "architecture": "encoder_only", '
            '"encoder_layers": 5000, "d_model": 65536, "num_heads": 1}}'
        )
        run = self.gate(tmp_path / "big.json", url=service.url)
        assert run.returncode == 2
        assert "TRIMTAB_MAX_PARAMETERS" in run.stderr

    def test_exits_3_where_there_is_no_service(self, home: Path) -> None:
        run = self.gate(STABLE, url="http://127.0.0.1:1")
        assert run.returncode == 3
        assert "trimtab serve" in run.stderr
        assert environment(home)["TRIMTAB_HOME"] == str(home)

import os
import shutil
import subprocess
from pathlib import Path

import pytest

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

"""Reports that were made elsewhere, and networks that the service never sees."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from admin_core.report import Report
from tests.service import SMALL, TRIMTAB, Service, environment

MINE = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.layer = nn.LayerNorm(16), nn.Linear(16, 16)

    def forward(self, x):
        return self.norm(x + self.layer(x))

def build():
    torch.manual_seed(0)
    return nn.Sequential(*[Block() for _ in range(4)])

def plain():
    return nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))

def narrow():
    return nn.Sequential(nn.Linear(8, 8))

def batch():
    return torch.randn(2, 5, 16)

def broken():
    raise ValueError("out of coffee")
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with code of somebody's own."""
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def diagnose(folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TRIMTAB, "diagnose", *words],
        env=environment(folder / "home") | settings,
        cwd=folder,
        capture_output=True,
        text=True,
    )


OWN = ("--module", "mine:build", "--batch", "mine:batch")


@pytest.fixture
def report(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.diagnose(SMALL)["report"]
    return found


class TestPushing:
    def test_keeps_the_report_under_the_address_of_a_diagnosis(
        self, service: Service, report: dict[str, Any]
    ) -> None:
        body = {"spec": {"model": "mine:build"}, "report": report}
        answer = service.http.post("/v1/reports", json=body)
        assert answer.status_code == 200, answer.text
        job = answer.json()
        assert (job["kind"], job["state"]) == ("report", "succeeded")
        assert job["spec"]["model"] == "mine:build"
        assert job["outcome"] == report["verdict"]["outcome"]
        path = answer.headers["Location"]
        assert service.http.get(path).json() == job
        assert job["report"] == report
        assert service.http.get(f"{path}/gate").status_code == 200
        assert service.http.get(f"{path}/omega").status_code == 200
        assert service.http.delete(path).status_code == 200
        listed = service.http.get("/v1/jobs", params={"kind": "report"}).json()["jobs"]
        assert job["id"] in [each["id"] for each in listed]

    def test_lets_it_be_drawn_and_compared_but_not_raced(
        self, service: Service, report: dict[str, Any]
    ) -> None:
        body = {"spec": {"model": "mine:build"}, "report": report}
        job = service.http.post("/v1/reports", json=body).json()
        for name in ("report", "report_markdown", "report_json", "junit"):
            assert service.http.get(job["links"][name]).status_code == 200, name
        figure = service.http.get(f"{job['links']['self']}/figures/branches.svg")
        assert figure.status_code == 200
        query = {"baseline": job["id"]}
        assert service.http.get(job["links"]["gate"], params=query).status_code == 200
        asked = {"diagnosis": job["id"]}
        refused = service.http.post("/v1/prescriptions/verify", json=asked)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == "diagnosis"
        assert "pushed" in refused.json()["detail"]

    def test_twice_with_one_key_keeps_one(self, service: Service, report: dict[str, Any]) -> None:
        body = {"spec": {"model": "a"}, "report": report}
        headers = {"Idempotency-Key": "pushed-once"}
        first, again = (
            service.http.post("/v1/reports", json=body, headers=headers).json()["id"]
            for _ in range(2)
        )
        assert first == again
        less = report | {"findings": [], "unavailable": {"gradients": "Nobody asked."}}
        for other in ({"spec": {"model": "b"}}, {"report": less}):
            answer = service.http.post("/v1/reports", json=body | other, headers=headers)
            assert answer.status_code == 422, answer.text

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"report": {}}, "report.branches"),
            ({"spec": {"model": ""}}, "spec.model"),
            ({"spec": {"model": "x" * 201}}, "spec.model"),
            ({"spec": {"model": "x", "code": "import os"}}, "spec.code"),
            ({"more": 1}, "more"),
        ],
    )
    def test_what_is_no_report_is_refused(
        self, service: Service, report: dict[str, Any], change: dict[str, Any], field: str
    ) -> None:
        body = {"spec": {"model": "mine"}, "report": report} | change
        answer = service.http.post("/v1/reports", json=body)
        assert answer.status_code == 422
        assert field in [error["field"] for error in answer.json()["errors"]]


class TestANetworkOfOnesOwn:
    def test_is_pushed_and_gated(self, service: Service, mine: Path) -> None:
        url = str(service.http.base_url)
        (mine / "training.json").write_text(json.dumps({"learning_rate": 1e-4}))
        run = diagnose(mine, *OWN, "--training", "training.json", "--push", url)
        assert run.returncode == 0, run.stderr
        path = run.stderr.strip().splitlines()[-1].removeprefix(f"Kept at {url.rstrip('/')}")
        job = service.http.get(path).json()
        assert job["spec"]["model"] == "mine:build"
        assert job["spec"]["training"]["learning_rate"] == 1e-4
        assert service.http.get(f"{path}/gate").json()["passed"] is True

    def test_without_a_residual_addition_has_a_finding_and_no_verdict_to_gate(
        self, service: Service, mine: Path
    ) -> None:
        url = str(service.http.base_url)
        run = diagnose(mine, "--module", "mine:plain", "--batch", "mine:batch", "--push", url)
        assert run.returncode == 0, run.stderr
        assert "Nothing is carried past anything" in run.stdout
        path = run.stderr.strip().splitlines()[-1].removeprefix(f"Kept at {url.rstrip('/')}")
        answer = service.http.get(f"{path}/gate")
        assert answer.status_code == 424
        assert "no residual addition" in answer.json()["detail"]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ((), "--module and --batch"),
            (("--module", "mine:build"), "go together"),
            (("x.json", *OWN), "Give a FILE, or --module"),
            (("--module", "mine:broken", "--batch", "mine:batch"), "ValueError: out of coffee"),
            (("--module", "mine:narrow", "--batch", "mine:batch"), "raises in 0 (Linear)"),
        ],
    )
    def test_that_cannot_be_had_exits_2_with_the_reason(
        self, mine: Path, words: tuple[str, ...], message: str
    ) -> None:
        run = diagnose(mine, *words)
        assert run.returncode == 2
        assert message in run.stderr
        assert "Traceback" not in run.stderr

    def test_whose_report_nobody_takes_exits_3_and_prints_it_all_the_same(self, mine: Path) -> None:
        run = diagnose(mine, *OWN, "--json", "--push", "http://127.0.0.1:9")
        assert run.returncode == 3
        assert "trimtab serve" in run.stderr
        report = Report.model_validate_json(run.stdout)
        assert [branch.index for branch in report.branches] == [1, 2, 3, 4]
        assert report.environment.num_tokens == 10

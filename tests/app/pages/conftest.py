"""Pages of a store that a test has written itself: no worker, no broker, nothing to wait for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from admin_core.race_report import RaceReport
from admin_core.race_spec import RaceSpec
from admin_core.report import Outcome, Prescription, Report, Verdict
from admin_core.spec import DiagnosisSpec
from tests.admin_core.reports import HOSTILE, diagnosis
from tests.app.in_process import Api, api
from worker import jobs, races
from worker.jobs import Claim

TINY: dict[str, Any] = {
    "model": {
        "architecture": "encoder_decoder",
        "encoder_layers": 3,
        "decoder_layers": 2,
        "d_model": 16,
        "num_heads": 2,
        "scheme": "post_ln",
    },
    "training": {"batch_size": 2, "sequence_length": 8, "steps": 200, "warmup_steps": 20},
}

RACE: dict[str, Any] = {
    "model": {"architecture": "decoder_only", "decoder_layers": 2, "d_model": 16, "num_heads": 2},
    "training": {"steps": 12, "warmup_steps": 2, "batch_size": 2, "sequence_length": 8},
    "arms": ["post_ln", {"name": HOSTILE}],
    "seeds": 2,
}
"""What `tests.admin_core.reports.raced` is the report of, more or less."""


class Pages:
    """The pages, and the store behind them."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.store = api.store
        self.http = api.caller()

    def get(self, path: str, **more: Any) -> Any:
        return self.http.get(path, **more)

    def post(self, path: str, fields: Any = None, **more: Any) -> Any:
        return self.http.post(path, data=fields, follow_redirects=False, **more)

    def queued(self, spec: dict[str, Any] = TINY) -> str:
        """Id of a diagnosis that no worker has taken."""
        return jobs.submit(self.store, DiagnosisSpec.model_validate(spec))[0]

    def running(self, spec: dict[str, Any] = TINY) -> Claim:
        """A diagnosis that a worker has."""
        claim = jobs.claim(self.store, self.queued(spec), worker="a-worker", lease_seconds=60)
        assert claim is not None
        return claim

    def finished(self, report: Report, spec: dict[str, Any] = TINY) -> str:
        """Id of a diagnosis with this report."""
        claim = self.running(spec)
        assert jobs.succeed(self.store, claim, report.model_dump(mode="json"))
        return claim.job_id

    def raced(self, report: RaceReport, spec: dict[str, Any] = RACE) -> str:
        """Id of a race that has come to this report."""
        asked = RaceSpec.model_validate(spec)
        race_id, run_ids = races.submit(self.store, asked)
        results = [seed for arm in report.arms for seed in arm.seeds]
        for run_id, result in zip(run_ids, results, strict=True):
            run = jobs.claim(self.store, run_id, worker="a-worker", lease_seconds=60)
            assert run is not None
            assert jobs.succeed(self.store, run, result.model_dump(mode="json"))
        claim = jobs.claim(self.store, race_id, worker="a-worker", lease_seconds=60)
        assert claim is not None
        assert jobs.succeed(self.store, claim, report.model_dump(mode="json"))
        return race_id


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Pages]:
    with api(tmp_path, device="cpu") as here:
        yield Pages(here)


@pytest.fixture
def unstable() -> Report:
    """A real report with a verdict that prescribes something."""
    report = diagnosis()
    assert report.verdict is not None
    patches = ({"model": {"scheme": "admin"}}, {"training": {"learning_rate": 0.0001}})
    verdict = Verdict(
        outcome=Outcome.UNSTABLE,
        failure_probability=0.93,
        outside_calibration=[],
        reasons=report.verdict.reasons,
        edges=[],
        prescriptions=[
            Prescription(change=f"change {n}", patch=patch, failure_probability=0.1 + n / 10)
            for n, patch in enumerate(patches)
        ],
    )
    return report.model_copy(update={"verdict": verdict})

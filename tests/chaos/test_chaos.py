"""A short run of `make chaos`: every kind of fault once, and a few jobs."""

import tempfile
from pathlib import Path

import pytest

from tests import postgresql
from tests.chaos.faults import FAULTS
from tests.chaos.run import run_chaos


@pytest.mark.slow
def test_every_accepted_job_ends_once_with_the_result_of_an_undisturbed_run() -> None:
    database = "postgresql" if postgresql.is_installed() else "sqlite"
    with tempfile.TemporaryDirectory(prefix="tt-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        outcome = run_chaos(
            folder,
            count=12,
            faults=len(FAULTS),
            seed=0,
            database=database,
            between_seconds=0.8,
            layers=2,
        )
    assert outcome.violations == []
    assert outcome.submitted == 12
    assert set(outcome.faults) == set(FAULTS)

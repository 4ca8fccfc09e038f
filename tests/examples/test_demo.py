"""The models of `make demo`, and of the table at the top of the README."""

import pytest

from admin_core.diagnosis import diagnose_spec
from admin_core.spec import DiagnosisSpec
from tests.service import EXAMPLES


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "outcome", "slope"), [("post-ln-18", "unstable", 1.01), ("admin-18", "stable", 0.68)]
)
def test_have_the_verdicts_that_the_readme_shows(name: str, outcome: str, slope: float) -> None:
    report = diagnose_spec(
        DiagnosisSpec.model_validate_json((EXAMPLES / f"{name}.json").read_text())
    )
    assert report.verdict is not None
    assert report.amplification is not None
    assert report.verdict.outcome == outcome
    assert report.amplification.random["encoder"].slope == pytest.approx(slope, abs=0.01)

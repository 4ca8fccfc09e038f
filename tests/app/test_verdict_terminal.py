from typing import Any

import pytest
from rich.console import Console

from admin_core.report import Verdict
from app.verdict_terminal import print_verdict

REASON = {
    "rule": "amplification",
    "outcome": "unstable",
    "path": "decoder",
    "measured": 36.4,
    "threshold": 28.0,
    "formula": "N^s",
    "explanation": "Over 48 sub-layers [sic] the decoder amplifies.",
    "share": 0.72,
}
FULL: dict[str, Any] = {
    "outcome": "unstable",
    "failure_probability": 0.831,
    "outside_calibration": [],
    "reasons": [REASON],
    "edges": [
        {
            "quantity": "learning_rate",
            "given": 0.001,
            "stable": 0.0003,
            "interval": [0.0002, 0.0005],
            "level": 0.3,
            "searched": [1e-5, 1.0],
        },
        {
            "quantity": "warmup_steps",
            "given": 10,
            "stable": None,
            "interval": None,
            "level": 0.3,
            "searched": [0, 40_000],
        },
    ],
    "prescriptions": [
        {
            "change": "Admin in the decoder, with the omegas of this report",
            "patch": {"model": {"scheme": "admin"}, "training": {"learning_rate": 0.0005}},
            "failure_probability": 0.04,
        }
    ],
}
BARE = FULL | {"failure_probability": None, "reasons": [], "edges": [], "prescriptions": []}


def printed(capsys: pytest.CaptureFixture[str], **changes: Any) -> str:
    print_verdict(Console(width=100), Verdict.model_validate(FULL | changes))
    return capsys.readouterr().out


class TestPrintVerdict:
    def test_opens_with_outcome_and_failure_probability(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert printed(capsys).startswith("unstable, failure probability 0.83\n")

    def test_leaves_out_what_there_is_not(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert printed(capsys, **BARE) == "unstable\n\n"

    def test_gives_each_reason_with_its_share(self, capsys: pytest.CaptureFixture[str]) -> None:
        line = "  unstable  Over 48 sub-layers [sic] the decoder amplifies. (72% of what speaks"
        assert line in printed(capsys)

    def test_says_what_lies_outside_the_calibrated_range(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text = printed(capsys, outside_calibration=["d_model 8192, known to 512"])
        assert "outside the calibrated range: d_model 8192, known to 512" in text

    def test_gives_each_edge_with_its_interval(self, capsys: pytest.CaptureFixture[str]) -> None:
        text = printed(capsys)
        assert "edges, where the failure probability passes 0.3, all else as given\n" in text
        for line in (
            "largest stable learning rate 0.0003 (80 % interval 0.0002 to 0.0005), given 0.001",
            "fewest sufficient warm-up steps none from 0 to 40,000, given 10",
        ):
            assert f"\n  {line}\n" in text

    def test_says_where_an_edge_may_lie_beyond_what_was_searched(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        edge = FULL["edges"][0] | {"stable": 1.0, "interval": None}
        text = printed(capsys, edges=[edge])
        assert "largest stable learning rate 1, where the search ended, given 0.001" in text

    def test_gives_each_prescription_with_a_patch_that_can_be_copied(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text = printed(capsys)
        assert "  0  Admin in the decoder, with the omegas of this report: failure" in text
        assert (
            '\n     {"model": {"scheme": "admin"}, "training": {"learning_rate": 0.0005}}\n' in text
        )

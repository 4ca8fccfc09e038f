"""What a verdict prescribes, and what is said of a network that nobody wrote here."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest

from admin_core.race_report import RaceReport
from admin_core.report import Report
from admin_core.report_files.about import About
from admin_core.report_files.html import html
from admin_core.report_files.junit import junit
from admin_core.report_files.markdown import markdown
from tests.admin_core.report_files.test_html import Reader
from tests.admin_core.reports import HOSTILE, diagnosis, raced

Write = Callable[[Report | RaceReport], str]

FINDING = {
    "rule": "NoFinalNorm",
    "path": "layers.3",
    "measured": 0,
    "threshold": 1,
    "formula": "norms after the last sum < 1",
    "explanation": "Nothing normalises the last state.",
    "suggestion": "Put a norm behind the last layer.",
}


def changed(verdict: dict[str, Any] | None = None, **sections: Any) -> Report:
    body = diagnosis().model_dump(mode="json") | sections
    body["verdict"] |= verdict or {}
    return Report.model_validate(body)


def read_markdown(report: Report | RaceReport) -> str:
    """Its words, as a reader sees them."""
    return markdown(report, About(title="A model")).replace("\\", "")


def read_html(report: Report | RaceReport) -> str:
    return Reader(html(report, About(title="A model"))).text


@pytest.mark.parametrize("write", [read_markdown, read_html])
class TestPages:
    def test_begin_with_the_failure_probability_where_there_is_one(self, write: Write) -> None:
        known = write(changed({"outcome": "unstable", "failure_probability": 0.831}))
        assert "unstable, failure probability 0.83" in known
        unknown = changed({"failure_probability": None, "outside_calibration": ["d_model = 8"]})
        assert "failure probability" not in write(unknown)
        assert "d_model = 8" in write(unknown)

    def test_hold_prescriptions_with_patches_that_can_be_posted(self, write: Write) -> None:
        patch = {"model": {"scheme": "admin"}}
        text = write(
            changed(
                {
                    "prescriptions": [
                        {"change": "Admin, here", "patch": patch, "failure_probability": 0.04}
                    ]
                }
            )
        )
        assert "Admin, here" in text
        assert '{"model": {"scheme": "admin"}}' in text
        assert "0.04" in text

    def test_hold_edges(self, write: Write) -> None:
        edge = {
            "quantity": "learning_rate",
            "given": 0.001,
            "stable": 0.0003,
            "interval": [0.0002, 0.0005],
            "level": 0.3,
            "searched": [1e-5, 1.0],
        }
        none = edge | {"quantity": "warmup_steps", "stable": None, "interval": None}
        text = write(changed({"edges": [edge, none]}))
        assert "largest stable learning rate" in text
        assert "0.0002 to 0.0005" in text
        assert "fewest sufficient warm-up steps" in text

    def test_say_what_is_wrong_with_a_network_and_what_cannot_be_had(self, write: Write) -> None:
        reason = f"There is no loss, {HOSTILE}"
        text = write(changed(findings=[FINDING], unavailable={"gradients": reason}))
        assert "Nothing normalises the last state. Put a norm behind the last layer." in text
        assert "There is no loss" in text
        plain = write(diagnosis())
        assert "How the network is put together" not in plain
        assert "Not available" not in plain

    def test_of_a_race_hold_what_was_predicted_where_something_was(self, write: Write) -> None:
        race = raced()
        arms = [race.arms[0].model_copy(update={"predicted_failure_probability": 0.83})]
        predicted = race.model_copy(update={"arms": [*arms, *race.arms[1:]]})
        assert "predicted to fail" in write(predicted)
        assert "predicted to fail" not in write(race)


def test_findings_are_thinned_to_what_a_comment_may_hold() -> None:
    many = [FINDING | {"path": f"layers.{n}", "explanation": "x" * 400} for n in range(1_000)]
    text = markdown(changed(findings=many), About(title="A model"))
    assert len(text) < 65_536
    assert "50 of 1,000 findings" in text


def test_a_finding_is_a_test_case_that_passes_and_says_what_was_found() -> None:
    suite = ET.fromstring(junit(changed(findings=[FINDING]), About(title="A model")))
    (case,) = suite.findall(".//testcase[@classname='trimtab.network']")
    assert case.attrib["name"] == "NoFinalNorm"
    assert case.find("failure") is None
    assert "Nothing normalises" in (case.findtext("system-out") or "")

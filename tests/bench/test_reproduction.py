"""The recorded races keep to the paper's pattern, and the page says what they say."""

import json
from pathlib import Path
from typing import Any

import pytest

from admin_core.race_report import RaceReport
from bench.reproduction import EXAMPLES, RESULTS, SHOWN, sensitivity_map

PAGE = (Path(__file__).parents[2] / "docs" / "reproduction.md").read_text()


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def outcomes(name: str) -> dict[str, dict[str, int]]:
    """How many seeds of each arm have each outcome."""
    return {arm["name"]: arm["outcomes"] for arm in recorded(name)["report"]["arms"]}


@pytest.mark.parametrize("name", ["paper-table1", "depth"])
def test_the_page_has_the_final_loss_of_every_arm(name: str) -> None:
    for arm in recorded(name)["report"]["arms"]:
        assert f"{arm['final_loss']:.3f} ± {arm['standard_error']:.3f}" in PAGE, arm["name"]


@pytest.mark.parametrize("name", SHOWN)
def test_what_was_recorded_is_the_example_as_it_is(name: str) -> None:
    asked, ran = json.loads((EXAMPLES / f"{name}.json").read_text()), recorded(name)["spec"]
    for part in ("model", "training"):
        for field, value in asked.get(part, {}).items():
            assert ran[part][field] == value, field


def test_a_post_ln_encoder_stalls_whatever_its_decoder() -> None:
    assert outcomes("paper-table1") == {
        "Post-LN encoder, Post-LN decoder": {"stalled": 3},
        "Post-LN encoder, Pre-LN decoder": {"stalled": 3},
        "Pre-LN encoder, Pre-LN decoder": {"converged": 3},
        "Admin": {"converged": 3},
    }


def test_post_ln_trains_while_it_is_shallow_and_admin_at_every_depth() -> None:
    assert outcomes("depth") == {
        "Post-LN 6 layers": {"converged": 3},
        "Post-LN 12 layers": {"stalled": 3},
        "Post-LN 18 layers": {"stalled": 3},
        "Admin 6 layers": {"converged": 3},
        "Admin 12 layers": {"converged": 3},
        "Admin 18 layers": {"converged": 3},
    }


def test_only_post_ln_minds_learning_rate_and_beta2() -> None:
    trained = {"post_ln": 0, "pre_ln": 0, "admin": 0}
    for name, found in outcomes("sensitivity").items():
        trained[name.partition(" ")[0]] += found.get("converged", 0)
    assert trained == {"post_ln": 13, "pre_ln": 15, "admin": 15}
    for scheme, count in trained.items():
        name = {"post_ln": "Post-LN", "pre_ln": "Pre-LN", "admin": "Admin"}[scheme]
        assert f"| {name} | {count} of 15 |" in PAGE


def test_the_grid_is_drawn_with_a_panel_a_scheme_and_all_cells() -> None:
    found = recorded("sensitivity")
    chart = sensitivity_map(found["spec"], RaceReport.model_validate(found["report"])).chart
    panels = {panel["title"]: len(panel["data"]["values"]) for panel in chart["hconcat"]}
    assert panels == {"post_ln": 15, "pre_ln": 15, "admin": 15}

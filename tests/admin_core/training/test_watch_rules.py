from typing import Any

import pytest

from admin_core.race_report import WatchPoint
from admin_core.training.watch_rules import violations

NOTHING: dict[str, Any] = {
    "step": 1,
    "gradient_norm": {"a": 1.0},
    "update_ratio": {"a": 1e-3},
    "dependency": {"a": 0.3},
    "largest_attention_logit": {"a": 8.0},
    "largest_output_logit": 8.0,
    "dead_units": {"a": 0.1},
    "saturated_units": {"a": 0.1},
}


def broken(first: dict[str, Any] | None = None, **now: Any) -> list[str]:
    return [
        violation.rule
        for violation in violations(
            WatchPoint(**NOTHING | now), WatchPoint(**NOTHING | (first or {}))
        )
    ]


def test_a_healthy_look_breaks_nothing() -> None:
    assert broken() == []


@pytest.mark.parametrize(
    ("now", "rules"),
    [
        ({"gradient_norm": {"a": 9e-8}}, ["vanishing_gradient"]),
        ({"gradient_norm": {"a": None}}, ["non_finite"]),
        ({"update_ratio": {"a": 11.0}}, ["weight_update_ratio"]),
        ({"update_ratio": {"a": 9e-9}}, ["weight_update_ratio"]),
        ({"largest_attention_logit": {"a": 81.0}}, ["attention_logit_growth"]),
        ({"largest_attention_logit": {"a": 79.0}}, []),
        ({"largest_output_logit": 81.0}, ["output_logit_growth"]),
        ({"largest_output_logit": None}, ["non_finite"]),
        ({"dead_units": {"a": 0.51}}, ["dead_units"]),
        ({"saturated_units": {"a": 0.51}}, ["saturated_units"]),
        ({"dead_units": {"a": 0.51, "b": 0.9}}, ["dead_units", "dead_units"]),
        (
            {"gradient_norm": {"a": None, "b": 0.0}, "dead_units": {"a": 1.0}},
            ["non_finite", "vanishing_gradient", "dead_units"],
        ),
    ],
)
def test_each_rule_fires_beyond_its_threshold_and_hides_no_other(
    now: dict[str, Any], rules: list[str]
) -> None:
    assert broken(**now) == rules


def test_small_logits_may_grow_tenfold() -> None:
    first = {"largest_attention_logit": {"a": 0.1}}
    assert broken(first, largest_attention_logit={"a": 49.0}) == []
    assert broken(first, largest_attention_logit={"a": 51.0}) == ["attention_logit_growth"]

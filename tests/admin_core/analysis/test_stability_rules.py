"""Each rule at both sides of its default threshold."""

import math

import pytest
import torch
from torch import nn

from admin_core.analysis.stability_rules import (
    StabilityRule,
    all_zero,
    dead_relu,
    exploding_tensor,
    narrow_gradient,
    saturated_activation,
    tensor_variance,
    unchanged_tensor,
    uneven_variances,
    vanishing_gradient,
    weight_update_ratio,
)

NAN, INF = math.nan, math.inf


def test_vanishing_gradient_fires_below_a_mean_magnitude_of_1e_minus_7() -> None:
    assert vanishing_gradient("w", torch.tensor([1.1e-7, -1.1e-7])) is None
    found = vanishing_gradient("w", torch.tensor([0.9e-7, -0.9e-7]))
    assert found is not None
    assert (found.rule, found.path, found.threshold) == ("VanishingGradient", "w", 1e-7)
    assert found.measured == pytest.approx(0.9e-7)


@pytest.mark.parametrize("value", [NAN, INF])
def test_all_other_rules_leave_what_is_not_finite_to_exploding_tensor(value: float) -> None:
    bad = torch.tensor([1.0, value])
    assert vanishing_gradient("w", bad) is None
    assert narrow_gradient("w", bad) is None
    assert tensor_variance("w", bad, max_threshold=1.0) is None
    assert weight_update_ratio("w", torch.ones(2), bad) is None
    assert uneven_variances("the weights", {"a": value}) is None
    assert uneven_variances("the weights", {"a": 1.0, "b": value, "c": 2.0}) is None


def test_exploding_tensor_counts_nan_and_infinity() -> None:
    assert exploding_tensor("w", torch.tensor([1.0, -1e38])) is None
    found = exploding_tensor("w", torch.tensor([NAN, INF, -INF, 1.0]))
    assert found is not None
    assert found.measured == 3


def test_exploding_tensor_can_be_told_to_look_for_nan_only() -> None:
    assert exploding_tensor("w", torch.tensor([INF]), only_nan=True) is None
    assert exploding_tensor("w", torch.tensor([NAN]), only_nan=True) is not None


def test_all_zero_fires_at_100_percent() -> None:
    assert all_zero("w", torch.tensor([0.0, 1e-30])) is None
    found = all_zero("w", torch.zeros(3))
    assert found is not None
    assert found.measured == 100.0
    assert all_zero("w", torch.tensor([0.0, 1.0]), threshold=50.0) is not None


def test_tensor_variance_has_no_bounds_unless_given() -> None:
    tensor = torch.tensor([1e6, -1e6])
    assert tensor_variance("w", tensor) is None
    assert tensor_variance("w", torch.tensor([1.0, 3.0]), max_threshold=1.0) is None
    found = tensor_variance("w", torch.tensor([1.0, 3.0]), max_threshold=0.9)
    assert found is not None
    assert found.measured == 1.0  # the population variance
    assert tensor_variance("w", torch.ones(3), min_threshold=1e-5) is not None


def test_poor_weight_initialization_fires_when_variances_differ_by_more_than_a_factor_of_10() -> (
    None
):
    assert uneven_variances("the weights", {"a": 1.0, "b": 10.0}) is None
    found = uneven_variances("the weights", {"a": 1.0, "b": 10.1, "c": 2.0})
    assert found is not None
    assert found.rule == "PoorWeightInitialization"
    assert found.measured == pytest.approx(10.1)
    assert "at a" in found.explanation
    assert "at b" in found.explanation


def test_poor_weight_initialization_stays_finite_for_a_constant_tensor() -> None:
    found = uneven_variances("the weights", {"a": 0.0, "b": 1.0})
    assert found is not None
    assert math.isfinite(found.measured)


@pytest.mark.parametrize("size", [1_000, 1_000_000])
def test_poor_weight_initialization_fires_when_nine_tenths_of_a_gradient_are_too_close(
    size: int,
) -> None:
    even = torch.linspace(0, 1, size)[torch.randperm(size)]
    assert narrow_gradient("w", even, distribution_range=0.89) is None
    found = narrow_gradient("w", even, distribution_range=0.91)
    assert found is not None
    assert found.measured == pytest.approx(0.9, abs=0.01)
    assert narrow_gradient("w", 1.2e-3 * even) is None
    assert narrow_gradient("w", 1.0e-3 * even) is not None


def test_weight_update_ratio_fires_beyond_10_and_below_1e_minus_8() -> None:
    weight = torch.tensor([1.0, -3.0])
    assert weight_update_ratio("w", weight, torch.tensor([19.0, -19.0])) is None
    large = weight_update_ratio("w", weight, torch.tensor([21.0, -21.0]))
    small = weight_update_ratio("w", weight, torch.tensor([1e-8, 0.0]))
    assert large is not None
    assert small is not None
    assert (large.threshold, small.threshold) == (10.0, 1e-8)
    assert large.measured == pytest.approx(10.5)


def test_weight_update_ratio_stays_finite_for_zero_weights() -> None:
    found = weight_update_ratio("w", torch.zeros(2), torch.full((2,), 1e-3))
    assert found is not None
    assert found.measured == pytest.approx(1e6)


def test_unchanged_tensor_fires_when_every_element_stays_within_the_tolerance() -> None:
    before = torch.tensor([1.0, 0.0])
    assert unchanged_tensor("w", before, before + torch.tensor([2e-5, 0.0])) is None
    assert unchanged_tensor("w", before, before + torch.tensor([0.0, 2e-8])) is None
    assert unchanged_tensor("w", before, before + torch.tensor([5e-6, 5e-9])) is not None
    assert unchanged_tensor("w", torch.tensor([NAN]), torch.tensor([NAN])) is None
    assert unchanged_tensor("w", torch.tensor([NAN]), torch.tensor([NAN]), equal_nan=True)


def units(*active_share: float, low: float, high: float) -> torch.Tensor:
    """Inputs of 200 tokens at which unit k lies at `high` for the given share of tokens, and at
    `low` for the others; batch seq units."""
    inputs = torch.full((200, len(active_share)), low)
    for unit, share in enumerate(active_share):
        inputs[: round(200 * share), unit] = high
    return inputs.view(2, 100, -1)


@pytest.mark.parametrize(
    ("activation", "off"),
    [(nn.ReLU(), 0.0), (nn.GELU(), -2.4), (nn.GELU("tanh"), -2.4), (nn.SiLU(), -4.7)],
    ids=str,
)
def test_dead_relu_fires_when_most_units_let_nothing_through(
    activation: nn.Module, off: float
) -> None:
    half_dead = units(0.0, 0.005, 0.01, 1.0, low=off, high=off + 0.2)
    assert dead_relu("a", activation, half_dead) is None
    found = dead_relu("a", activation, units(0.0, 0.005, 0.0, 1.0, low=off, high=off + 0.2))
    assert found is not None
    assert (found.rule, found.measured, found.threshold) == ("DeadRelu", 75.0, 50.0)


@pytest.mark.parametrize(
    ("activation", "edge"), [(nn.Tanh(), 9.4999), (nn.Sigmoid(), 16.99999)], ids=str
)
def test_saturated_activation_fires_when_most_units_are_stuck(
    activation: nn.Module, edge: float
) -> None:
    stuck = units(0.0, 0.005, 0.0, 1.0, low=edge + 0.01, high=edge - 0.01)
    found = saturated_activation("a", activation, stuck)
    assert found is not None
    assert (found.rule, found.measured) == ("SaturatedActivation", 75.0)
    free = units(0.0, 0.005, 0.01, 1.0, low=edge + 0.01, high=edge - 0.01)
    assert saturated_activation("a", activation, free) is None


def test_saturated_activation_knows_the_lower_end_of_each() -> None:
    at_minus_20 = torch.full((1, 4, 3), -20.0)
    assert saturated_activation("a", nn.Tanh(), at_minus_20) is not None
    assert saturated_activation("a", nn.Sigmoid(), at_minus_20) is None
    assert saturated_activation("a", nn.Sigmoid(), at_minus_20 - 4) is not None


def test_the_names_are_sagemaker_debugger_s() -> None:
    assert {rule.value for rule in StabilityRule} == {
        "VanishingGradient",
        "ExplodingTensor",
        "PoorWeightInitialization",
        "WeightUpdateRatio",
        "SaturatedActivation",
        "DeadRelu",
        "AllZero",
        "TensorVariance",
        "UnchangedTensor",
    }

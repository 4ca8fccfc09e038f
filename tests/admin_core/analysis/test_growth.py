import math

import pytest
import torch

from admin_core.analysis.growth import growth, proportionality
from admin_core.report import Law

DEPTHS = list(range(1, 201))


def test_the_slope_of_a_power_law_is_its_exponent() -> None:
    found = growth(DEPTHS, [3e-6 * depth**1.25 for depth in DEPTHS])
    assert found is not None
    assert found.slope == pytest.approx(1.25)
    assert found.interval == pytest.approx((1.25, 1.25))


@pytest.mark.parametrize(("exponent", "law"), [(1.0, Law.LINEAR), (0.7, Law.BETWEEN)])
def test_a_slope_stands_for_a_law(exponent: float, law: Law) -> None:
    found = growth(DEPTHS, [depth**exponent for depth in DEPTHS])
    assert found is not None
    assert found.law is law


def test_a_harmonic_sum_over_200_sublayers_is_logarithmic() -> None:
    found = growth(DEPTHS, [math.log(depth) + 0.58 for depth in DEPTHS])
    assert found is not None
    assert found.law is Law.LOGARITHMIC


def test_the_first_depth_is_left_out() -> None:
    with_a_small_start = growth(DEPTHS, [1e-9, *(float(depth) for depth in DEPTHS[1:])])
    assert with_a_small_start is not None
    assert with_a_small_start.slope == pytest.approx(1)


@pytest.mark.parametrize("output_change", [[1.0, 2.0, 3.0], [0.0] * 10])
def test_three_depths_or_no_change_have_no_slope(output_change: list[float]) -> None:
    assert growth(list(range(1, len(output_change) + 1)), output_change) is None


@pytest.mark.parametrize("step", [0.02, 0.1, 0.3])
def test_the_interval_holds_the_truth_for_random_walks(step: float) -> None:
    """Around D_i = i. 95 % should; below 90 % of 300 would be bad luck of one in ten thousand."""
    generator = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(300):
        walk = (step * torch.randn(len(DEPTHS), generator=generator, dtype=torch.float64)).cumsum(0)
        found = growth(DEPTHS, (torch.tensor(DEPTHS) * walk.exp()).tolist())
        assert found is not None
        held += found.interval[0] <= 1 <= found.interval[1]
    assert held >= 0.9 * 300


def test_proportionality_is_the_common_factor() -> None:
    theory = [0.4 * depth for depth in DEPTHS]
    assert proportionality(DEPTHS, [2.5 * t for t in theory], theory) == pytest.approx(2.5)
    doubled_or_halved = [
        t * (2 if depth % 2 else 0.5) for depth, t in zip(DEPTHS, theory, strict=True)
    ]
    assert proportionality(DEPTHS, doubled_or_halved, theory) == pytest.approx(1, rel=0.01)


def test_there_is_no_proportionality_where_nothing_moves() -> None:
    assert proportionality([1, 2], [0.0, 0.0], [0.1, 0.2]) is None

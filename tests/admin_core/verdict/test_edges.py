import math

import numpy as np
import pytest
from sklearn.isotonic import isotonic_regression

from admin_core.report import Quantity
from admin_core.verdict.edges import crossing, edge, pooled

RATES = [1e-3 * 10 ** (k / 4) for k in range(-6, 7)]


def failing_from(rate: float, sharpness: float = 3.0) -> object:
    """A probability that passes one half at `rate`."""

    def failing(value: float) -> float:
        return 1 / (1 + math.exp(-sharpness * math.log(value / rate)))

    return failing


class TestPooled:
    def test_is_isotonic_regression(self) -> None:
        values = np.random.default_rng(0).normal(size=40).cumsum()
        assert pooled(list(values)) == pytest.approx(list(isotonic_regression(values)))

    def test_leaves_an_ascending_sequence_as_it_is(self) -> None:
        assert pooled([0.1, 0.1, 0.5, 0.9]) == [0.1, 0.1, 0.5, 0.9]


class TestEdge:
    @pytest.mark.parametrize("true_edge", [2e-4, 1e-3, 7e-3])
    def test_lies_where_the_probability_passes_one_half(self, true_edge: float) -> None:
        found = edge(Quantity.LEARNING_RATE, 1e-3, RATES, failing_from(true_edge))  # type: ignore[arg-type]
        assert found.stable is not None
        assert found.interval is not None
        assert found.stable == pytest.approx(true_edge, rel=0.1)
        assert found.interval[0] < true_edge < found.interval[1]

    def test_does_not_take_a_rate_too_small_to_learn_for_an_unstable_one(self) -> None:
        def failing(value: float) -> float:
            return 0.9 if value < 1e-4 or value > 5e-3 else 0.05

        found = edge(Quantity.LEARNING_RATE, 1e-3, RATES, failing)
        assert found.stable is not None
        assert 3e-3 < found.stable < 8e-3

    def test_of_a_warm_up_is_the_fewest_steps_that_suffice(self) -> None:
        def failing(steps: float) -> float:
            return 0.9 if steps < 20 else 0.1

        found = edge(Quantity.WARMUP_STEPS, 10, [0, 4, 10, 20, 40], failing, falling=True)
        assert found.stable is not None
        assert 10 < found.stable <= 20

    def test_of_a_warm_up_that_does_not_matter_is_no_warm_up(self) -> None:
        found = edge(Quantity.WARMUP_STEPS, 20, [0, 20, 100], lambda _: 0.2, falling=True)
        assert found.stable == 0
        assert found.interval == (0, 100)

    def test_is_missing_where_nothing_tried_is_stable(self) -> None:
        found = edge(Quantity.LAYERS, 12, [1, 2, 4], lambda _: 0.8)
        assert found.stable is None
        assert found.interval is None

    def test_at_the_end_of_the_search_may_lie_beyond_it(self) -> None:
        found = edge(Quantity.LAYERS, 12, [1, 2, 24], lambda _: 0.1)
        assert found.stable == 24 == found.searched[1]


class TestCrossing:
    def test_is_between_two_values_in_proportion_to_their_logarithms(self) -> None:
        assert crossing([1.0, 100.0], [0.0, 1.0], 0.5) == pytest.approx(10, rel=1e-2)

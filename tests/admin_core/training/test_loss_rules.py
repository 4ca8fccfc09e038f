import math
import statistics

import pytest

from admin_core.training.loss_rules import LOSS_RULES, LossDetector, LossPreset, firing_steps

NOISE = [3.0 + 0.1 * math.sin(7 * step) for step in range(200)]


def fires(preset: str, losses: list[float]) -> list[int]:
    return firing_steps(losses, LOSS_RULES[LossPreset(preset)])


SPIKE_PRESETS = ["lightning", "llm-foundry", "olmo", "losslint"]


@pytest.mark.parametrize("preset", SPIKE_PRESETS)
class TestEverySpikePreset:
    def test_is_silent_on_noise(self, preset: str) -> None:
        assert fires(preset, NOISE) == []

    def test_is_silent_on_a_constant_loss(self, preset: str) -> None:
        assert fires(preset, [2.0] * 200) == []

    def test_sees_a_huge_and_lasting_rise_once(self, preset: str) -> None:
        assert len(fires(preset, NOISE + [100.0] * 6)) == 1

    def test_a_value_that_is_not_finite_neither_fires_nor_hides_the_next_spike(
        self, preset: str
    ) -> None:
        with_holes = [*NOISE, math.nan, math.inf, *[100.0] * 6]
        assert len(fires(preset, with_holes)) == 1
        detector = LossDetector(LOSS_RULES[LossPreset(preset)])
        for loss in with_holes:
            detector.see(loss)
        assert all(math.isfinite(loss) for loss in detector.window)


def test_lightning_asks_for_three_times_the_mean_of_ten() -> None:
    assert fires("lightning", [1.0] * 20 + [2.9]) == []
    assert fires("lightning", [1.0] * 20 + [3.1]) == [21]


def test_llm_foundry_waits_for_five_in_a_row() -> None:
    assert fires("llm-foundry", [1.0] * 100 + [2.5] * 4 + [1.0]) == []
    assert fires("llm-foundry", [1.0] * 100 + [2.5] * 5) == [105]


def test_olmo_asks_for_six_deviations_of_128_from_64_on() -> None:
    window = NOISE[-128:]
    edge = statistics.fmean(window) + 6 * statistics.pstdev(window)
    assert fires("olmo", [*NOISE, edge - 0.01]) == []
    assert fires("olmo", [*NOISE, edge + 0.01]) == [201]
    assert fires("olmo", [*NOISE[:63], 100.0]) == []
    assert fires("olmo", [*NOISE[:64], 100.0]) == [65]


def test_losslint_asks_for_ten_medians_which_one_outlier_does_not_move() -> None:
    assert fires("losslint", [1.0] * 25 + [50.0, 1.0, 11.0]) == [26, 28]
    assert fires("losslint", [1.0] * 25 + [9.0]) == []


class TestSageMaker:
    def test_fires_where_the_loss_stays_what_it_was_ten_steps_before(self) -> None:
        assert fires("sagemaker", [2.0] * 11) == [11]
        assert fires("sagemaker", [2.0] * 10) == []

    def test_is_silent_on_a_loss_that_falls_by_a_thousandth_in_ten_steps(self) -> None:
        assert fires("sagemaker", [2.0 * 0.9998**step for step in range(50)]) == []

    def test_allows_a_rise_of_five_percent_and_no_more(self) -> None:
        assert fires("sagemaker", [2.0] * 10 + [2.09]) == []
        assert fires("sagemaker", [2.0] * 10 + [2.11]) == [11]


@pytest.mark.parametrize("preset", list(LossPreset))
def test_a_formula_says_when_a_rule_fires(preset: LossPreset) -> None:
    assert "loss" in LOSS_RULES[preset].formula

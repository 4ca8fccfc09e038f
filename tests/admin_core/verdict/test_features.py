import math
from dataclasses import replace

import pytest
import torch

from admin_core.report import NormPlacement
from admin_core.spec import Stack, TrainingSpec
from admin_core.training.schedules import learning_rate_at
from admin_core.verdict.features import (
    FEATURES,
    LARGEST,
    effective_steps,
    features,
    probe_length,
)
from admin_core.verdict.full_rate import rectification
from admin_core.verdict.look import StackProbe
from admin_core.verdict.predictions import Predictions
from admin_core.verdict.probe import Probe, probe_rate, probe_steps

CALM = StackProbe(
    gradient_decay=0.1, gradient_spread=0.2, state_gradient_decay=-0.1, token_similarity=0.3
)
PROBE = Probe(
    losses=(5.5, 5.3, 5.2, 5.0, 4.9, 4.8, 4.6, 4.4, 4.3),
    predictions=tuple(
        Predictions(information=0.4, deviation=1.0, context_gain=gain, alignment=2 * gain)
        for gain in (-0.1, -0.1, 0.0, 0.0, 0.1, 0.1, 0.2, 0.4, 0.5)
    ),
    finite=True,
    before={Stack.DECODER: CALM},
    after={Stack.DECODER: CALM},
    attention_entropy=0.9,
    update_ratio=0.01,
    descent=0.9,
    gradient_norm=(1.0, 2.0),
)


PLACEMENTS = 18 * [NormPlacement.POST] + 6 * [NormPlacement.PRE]


def named(probe: Probe, training: TrainingSpec) -> dict[str, float]:
    values = features(
        probe, training, placements=PLACEMENTS, unigram=3.0, at_hand=0.2, readable=0.1
    )
    return {feature.name: value for feature, value in zip(FEATURES, values, strict=True)}


class TestEffectiveSteps:
    @pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "inverse_sqrt"])
    def test_are_the_sum_of_all_rates_over_the_peak(self, schedule: str) -> None:
        training = TrainingSpec.model_validate(
            {"schedule": schedule, "warmup_steps": 20, "steps": 150, "learning_rate": 0.02}
        )
        exact = sum(learning_rate_at(t, training) for t in range(1, 151)) / 0.02
        assert effective_steps(training) == pytest.approx(exact)

    def test_of_a_long_run_are_summed_in_strides_and_near_the_exact_sum(self) -> None:
        training = TrainingSpec(steps=100_000, warmup_steps=4_000)
        exact = sum(learning_rate_at(t, training) for t in range(1, 100_001)) / 1e-3
        assert effective_steps(training) == pytest.approx(exact, rel=1e-2)


class TestTheProbesLength:
    def test_is_a_twenty_fifth_of_the_run_within_bounds(self) -> None:
        lengths = {steps: probe_steps(TrainingSpec(steps=steps)) for steps in (1, 200, 600, 10**6)}
        assert lengths == {1: 6, 200: 8, 600: 24, 10**6: 40}

    def test_in_steps_at_the_peak_is_shorter_by_the_warm_up(self) -> None:
        training = TrainingSpec(warmup_steps=100, steps=600)
        rates = [probe_rate(training, step) for step in range(1, 25)]
        assert rates == sorted(rates)
        assert rates[6:] == 18 * [1.0]
        assert probe_length(training) == pytest.approx(sum(rates))


class TestFeatures:
    def test_are_finite_whatever_was_measured(self) -> None:
        nothing = replace(
            PROBE,
            losses=(),
            finite=False,
            before={},
            after={},
            predictions=(),
            update_ratio=0.0,
            descent=None,
            gradient_norm=(math.inf, math.inf),
        )
        for probe in (PROBE, nothing):
            values = features(
                probe, TrainingSpec(), placements=PLACEMENTS, unigram=3.0, at_hand=0.2, readable=0.1
            )
            assert len(values) == len(FEATURES)
            assert all(abs(value) <= LARGEST for value in values)

    def test_take_the_worst_stack(self) -> None:
        dying = replace(CALM, gradient_decay=-4.0)
        both = replace(PROBE, after={Stack.ENCODER: dying, Stack.DECODER: CALM})
        assert named(both, TrainingSpec())["gradient_decay"] == 4.0

    def test_hold_the_late_loss_against_the_unigram_loss(self) -> None:
        found = named(PROBE, TrainingSpec())
        late = (4.6 + 4.4) / 2  # of eight steps the last two; the look back is none of them
        assert found["loss_late"] == pytest.approx(math.log10(late / 3.0))
        assert found["loss_fall"] == pytest.approx((5.5 - late) / 3.0)

    def test_tell_how_the_gain_from_context_grows(self) -> None:
        found = named(PROBE, TrainingSpec())
        assert found["context_gain"] == pytest.approx(0.3 / 3.0)
        assert found["context_gain_growth"] == pytest.approx((0.3 - 0.0) / 3.0)
        assert found["alignment"] == found["alignment_growth"] == pytest.approx(0.6)

    def test_of_losses_on_a_line_tell_how_far_it_leads(self) -> None:
        straight = replace(PROBE, losses=tuple(6 - 0.1 * step for step in range(9)))
        training = TrainingSpec(schedule="constant", warmup_steps=0, steps=300)
        pace = 0.1 / (6 - 3.0) * 300
        assert named(straight, training)["pace"] == pytest.approx(math.log10(pace))

    def test_tell_where_the_norms_stand(self) -> None:
        found = named(PROBE, TrainingSpec())
        assert found["post_ln"] == 0.75
        assert found["depth"] == pytest.approx(math.log10(24))

    def test_of_a_loss_that_left_the_numbers_are_as_bad_as_can_be(self) -> None:
        found = named(replace(PROBE, finite=False), TrainingSpec())
        assert found["loss_rise"] == LARGEST


class TestRectification:
    def test_is_none_in_the_first_steps_and_all_in_the_end(self) -> None:
        assert rectification(3, 0.98) == 0
        assert rectification(10_000, 0.98) == pytest.approx(1, abs=1e-3)

    def test_rises_from_step_to_step(self) -> None:
        rising = [rectification(step, 0.999) for step in range(1, 400)]
        assert rising == sorted(rising)

    def test_is_the_one_that_the_optimizer_uses(self) -> None:
        weight = torch.nn.Parameter(torch.zeros(()))
        optimizer = torch.optim.RAdam([weight], lr=1.0, betas=(0.0, 0.9), eps=0.0)
        for step in range(1, 30):
            before = weight.item()
            weight.grad = torch.ones(())
            optimizer.step()
            if rectification(step, 0.9) > 0:  # with a constant gradient Adam's own step is 1
                assert before - weight.item() == pytest.approx(rectification(step, 0.9), rel=1e-3)

import math

import pytest

from admin_core.race_report import RaceOutcome
from admin_core.training.outcomes import Judgement, is_hopeless, judge_run, steps_to

UNIGRAM = 3.0


def judged(losses: list[float], non_finite_at: int | None = None, steps: int = 200) -> Judgement:
    return judge_run(losses, non_finite_at=non_finite_at, unigram_loss=UNIGRAM, steps=steps)


def noisy(start: float, end: float, steps: int = 200) -> list[float]:
    """A loss that falls (or rises) as one over the step, with ripples."""
    return [end + (start - end) / (1 + step / 10) + 0.02 * math.sin(step) for step in range(steps)]


def test_a_run_that_leaves_the_unigram_loss_has_converged() -> None:
    found = judged(noisy(5.5, 1.5))
    assert found.outcome is RaceOutcome.CONVERGED
    assert found.diverged_at_step is None


def test_a_run_that_stays_at_the_unigram_loss_has_stalled() -> None:
    assert judged(noisy(5.5, 2.95)).outcome is RaceOutcome.STALLED


def test_the_edge_is_nine_tenths_of_the_unigram_loss() -> None:
    assert judged([5.0] + [2.701] * 199).outcome is RaceOutcome.STALLED
    assert judged([5.0] + [2.699] * 199).outcome is RaceOutcome.CONVERGED


def test_a_loss_that_is_not_finite_has_diverged_at_its_step() -> None:
    found = judged(noisy(5.5, 1.5)[:120], non_finite_at=121)
    assert found.outcome is RaceOutcome.DIVERGED
    assert found.diverged_at_step == 121


def test_a_run_without_a_single_finite_loss_has_diverged_and_has_no_final_loss() -> None:
    found = judged([], non_finite_at=1)
    assert found.outcome is RaceOutcome.DIVERGED
    assert found.final_loss is None


def test_a_loss_above_the_first_for_good_has_diverged_where_it_began_to_stay_there() -> None:
    losses = noisy(5.5, 1.5)[:100] + [9.0] * 10 + [2.0] + [9.0] * 89
    found = judged(losses)
    assert found.outcome is RaceOutcome.DIVERGED
    assert found.diverged_at_step == 112


def test_a_bad_moment_at_the_very_end_is_not_for_good() -> None:
    assert judged(noisy(5.5, 1.5)[:190] + [9.0] * 10).diverged_at_step is None


def test_a_spike_that_is_recovered_from_is_named_with_its_step() -> None:
    losses = noisy(5.5, 1.5)
    losses[149:151] = [6.0, 6.0]
    found = judged(losses)
    assert found.outcome is RaceOutcome.SPIKED
    assert found.spikes == [150]


def test_the_final_loss_is_the_mean_of_the_last_tenth() -> None:
    assert judged([5.0] * 180 + [1.0] * 10 + [2.0] * 10).final_loss == pytest.approx(1.5)


def test_a_short_run_is_judged_by_its_last_ten_steps() -> None:
    assert judged([5.0] * 10 + [1.0] * 10, steps=20).final_loss == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("losses", "hopeless"),
    [(noisy(5.5, 2.95), True), (noisy(5.5, 1.5), False), (noisy(3.0, 9.0), True)],
    ids=["stalled", "converged", "diverged"],
)
def test_hopeless_is_what_would_be_called_stalled_or_diverged(
    losses: list[float], hopeless: bool
) -> None:
    assert is_hopeless(losses, unigram_loss=UNIGRAM, steps=200) is hopeless


class TestStepsToATarget:
    def test_counts_until_ten_losses_are_there_on_average(self) -> None:
        assert steps_to(2.0, [4.0] * 20 + [2.0] * 20) == 30

    def test_one_lucky_batch_is_not_enough(self) -> None:
        assert steps_to(2.0, [4.0] * 20 + [1.0] + [4.0] * 20) is None

    def test_a_target_that_is_never_reached_has_no_step(self) -> None:
        assert steps_to(1.0, [2.0] * 100) is None

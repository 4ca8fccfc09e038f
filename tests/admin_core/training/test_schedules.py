import itertools
import math

import pytest

from admin_core.spec import Schedule, TrainingSpec
from admin_core.training.schedules import learning_rate_at


def rates(schedule: str, warmup: int = 10, steps: int = 100) -> list[float]:
    """The learning rate of each step, with a peak of 2."""
    training = TrainingSpec(
        schedule=Schedule(schedule), learning_rate=2.0, warmup_steps=warmup, steps=steps
    )
    return [learning_rate_at(step, training) for step in range(1, steps + 1)]


@pytest.mark.parametrize("schedule", list(Schedule))
class TestEverySchedule:
    def test_rises_in_equal_steps_to_its_peak_at_the_end_of_the_warmup(self, schedule: str) -> None:
        assert rates(schedule)[:10] == pytest.approx([0.2 * step for step in range(1, 11)])

    def test_never_rises_after_the_warmup_and_never_reaches_zero(self, schedule: str) -> None:
        after = rates(schedule)[9:]
        assert all(later <= earlier for earlier, later in itertools.pairwise(after))
        assert after[-1] > 0

    def test_starts_near_its_peak_without_a_warmup(self, schedule: str) -> None:
        assert rates(schedule, warmup=0)[0] == pytest.approx(2.0, rel=0.02)

    def test_may_end_within_its_warmup(self, schedule: str) -> None:
        assert rates(schedule, warmup=200)[-1] == pytest.approx(1.0)


def test_constant_stays_at_its_peak() -> None:
    assert set(rates("constant")[10:]) == {2.0}


def test_linear_falls_in_equal_steps_as_if_to_zero_after_the_last() -> None:
    after = rates("linear")[9:]
    falls = [earlier - later for earlier, later in itertools.pairwise(after)]
    assert falls == pytest.approx([2 / 91] * 90)
    assert after[-1] == pytest.approx(2 / 91)


def test_cosine_is_at_half_its_peak_half_way() -> None:
    assert rates("cosine", warmup=9)[54] == pytest.approx(2 * (1 + math.cos(math.pi / 2)) / 2)


def test_inverse_sqrt_halves_when_the_steps_quadruple() -> None:
    assert rates("inverse_sqrt")[39] == pytest.approx(1.0)

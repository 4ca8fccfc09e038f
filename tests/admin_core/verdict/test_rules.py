import math

import pytest

from admin_core.report import AmplificationSection, Law, Outcome, OutputChange
from admin_core.spec import Stack
from admin_core.verdict.rules import (
    GROWTH_AT_RISK,
    GROWTH_UNSTABLE,
    UPDATE_SHARE_HARMLESS,
    judge,
    steadied_slope,
)

D_MODEL = 64
DEPTH = 36


def change(
    slope: float | None,
    *,
    last: float = 1e-3,
    half_width: float = 0.3,
    predicted_slope: float | None = None,
) -> OutputChange:
    interval = None if slope is None else (slope - half_width, slope + half_width)
    return OutputChange(
        depths=list(range(1, DEPTH + 1)),
        output_change=[last] * DEPTH,
        standard_error=None,
        slope=slope,
        slope_interval=interval,
        law=None if slope is None else Law.BETWEEN,
        predicted=None,
        predicted_constant=None,
        predicted_slope=slope if predicted_slope is None else predicted_slope,
    )


def measured(*slopes: float | None, update: float = 0.5 * 2 * D_MODEL) -> AmplificationSection:
    stacks = list(Stack)[: len(slopes)]
    return AmplificationSection(
        random={stack: change(slope) for stack, slope in zip(stacks, slopes, strict=True)},
        random_step=1e-4,
        draws=3,
        gaussian=None,
        gradient=None,
        gradient_step=1e-6,
        update={stack: change(1.0, last=update) for stack in stacks},
    )


def slope_of_growth(growth: float) -> float:
    return math.log(growth) / math.log(DEPTH)


class TestJudge:
    @pytest.mark.parametrize(
        ("growth", "outcome"),
        [
            (GROWTH_AT_RISK - 0.1, Outcome.STABLE),
            (GROWTH_AT_RISK + 0.1, Outcome.AT_RISK),
            (GROWTH_UNSTABLE - 0.1, Outcome.AT_RISK),
            (GROWTH_UNSTABLE + 0.1, Outcome.UNSTABLE),
        ],
    )
    def test_goes_by_the_growth_over_the_whole_depth(self, growth: float, outcome: Outcome) -> None:
        verdict = judge(measured(slope_of_growth(growth)), d_model=D_MODEL)
        assert verdict.outcome is outcome
        assert verdict.reasons[0].measured == pytest.approx(growth)

    def test_is_as_bad_as_the_worst_stack_which_comes_first(self) -> None:
        verdict = judge(measured(0.4, 1.2), d_model=D_MODEL)
        assert verdict.outcome is Outcome.UNSTABLE
        assert verdict.reasons[0].path == "decoder"
        assert "decoder amplifies" in verdict.reasons[0].explanation

    def test_steps_too_small_to_be_amplified_are_a_risk_at_most(self) -> None:
        tiny = UPDATE_SHARE_HARMLESS * 2 * D_MODEL / 2
        verdict = judge(measured(1.2, update=tiny), d_model=D_MODEL)
        assert verdict.outcome is Outcome.AT_RISK

    def test_a_step_that_leaves_nothing_of_the_output_is_a_risk(self) -> None:
        verdict = judge(measured(0.4, update=0.96 * 2 * D_MODEL), d_model=D_MODEL)
        assert verdict.outcome is Outcome.AT_RISK
        assert verdict.reasons[0].rule == "update"

    def test_a_stack_in_which_nothing_moves_is_stable(self) -> None:
        assert judge(measured(None), d_model=D_MODEL).outcome is Outcome.STABLE


class TestSteadiedSlope:
    def test_a_sure_measurement_outweighs_the_theory(self) -> None:
        sure = change(1.2, half_width=0.01, predicted_slope=0.5)
        assert steadied_slope(sure) == pytest.approx(1.2, abs=0.01)

    def test_the_theory_outweighs_a_measurement_that_says_nothing(self) -> None:
        unsure = change(1.2, half_width=10.0, predicted_slope=0.5)
        assert steadied_slope(unsure) == pytest.approx(0.5, abs=0.01)

    def test_equal_errors_meet_in_the_middle(self) -> None:
        equal = change(1.2, half_width=1.96 * 0.15, predicted_slope=0.6)
        assert steadied_slope(equal) == pytest.approx(0.9)

import pytest

from admin_core.report import Outcome
from admin_core.verdict.gate import REGRESSION_MARGIN, Criterion, Judgement, Standing, judge

STABLE, AT_RISK, UNSTABLE = Outcome


def standing(outcome: Outcome, probability: float | None = None) -> Standing:
    return Standing(outcome=outcome, failure_probability=probability)


def said(judgement: Judgement) -> str:
    return " ".join(judgement.sentences)


class TestByOutcome:
    def test_only_an_unstable_verdict_fails_if_nothing_is_given(self) -> None:
        assert [judge(standing(outcome)).passed for outcome in Outcome] == [True, True, False]

    def test_the_mildest_that_fails_can_be_named(self) -> None:
        passed = [judge(standing(outcome), fail_on=AT_RISK).passed for outcome in Outcome]
        assert passed == [True, False, False]

    def test_needs_no_further_words(self) -> None:
        judgement = judge(standing(UNSTABLE))
        assert judgement.sentences == ()
        assert judgement.judged_by == (Criterion.OUTCOME,)


class TestByProbability:
    @pytest.mark.parametrize(("probability", "passed"), [(0.29, True), (0.3, True), (0.31, False)])
    def test_what_lies_above_the_threshold_fails(self, probability: float, passed: bool) -> None:
        judgement = judge(standing(STABLE, probability), max_failure_probability=0.3)
        assert judgement.passed is passed
        assert judgement.judged_by == (Criterion.FAILURE_PROBABILITY,)
        assert f"{probability}" in said(judgement)

    def test_decides_in_place_of_the_outcome(self) -> None:
        assert judge(standing(UNSTABLE, 0.6), max_failure_probability=0.9).passed

    def test_fails_beside_an_outcome_that_is_asked_for_too(self) -> None:
        verdict = standing(UNSTABLE, 0.6)
        assert not judge(verdict, max_failure_probability=0.9, fail_on=UNSTABLE).passed
        assert not judge(verdict, max_failure_probability=0.5, fail_on=UNSTABLE).passed

    def test_of_a_verdict_without_one_the_outcome_decides_and_that_is_said(self) -> None:
        for outcome, passed in ((AT_RISK, True), (UNSTABLE, False)):
            judgement = judge(standing(outcome), max_failure_probability=0.3)
            assert judgement.passed is passed
            assert judgement.judged_by == (Criterion.OUTCOME,)
            assert "no failure probability, so that its outcome decides" in said(judgement)


class TestAgainstABaseline:
    @pytest.mark.parametrize(
        ("before", "now", "passed"),
        [
            (STABLE, AT_RISK, False),
            (AT_RISK, UNSTABLE, False),
            (UNSTABLE, UNSTABLE, True),
            (UNSTABLE, AT_RISK, True),
            (STABLE, STABLE, True),
        ],
    )
    def test_only_a_worse_outcome_fails(self, before: Outcome, now: Outcome, passed: bool) -> None:
        judgement = judge(standing(now), baseline=standing(before))
        assert judgement.passed is passed
        assert judgement.judged_by == (Criterion.BASELINE,)

    def test_a_probability_that_rose_by_more_than_the_margin_fails(self) -> None:
        before = standing(AT_RISK, 0.25)
        risen = judge(standing(AT_RISK, 0.26 + REGRESSION_MARGIN), baseline=before)
        assert not risen.passed
        assert "rose from 0.25 to 0.36" in said(risen)
        assert judge(standing(AT_RISK, 0.24 + REGRESSION_MARGIN), baseline=before).passed
        assert judge(standing(AT_RISK, 0.01), baseline=before).passed

    def test_a_better_outcome_passes_whatever_the_probabilities(self) -> None:
        assert judge(standing(AT_RISK, 0.5), baseline=standing(UNSTABLE, 0.3)).passed

    def test_without_two_probabilities_the_outcomes_are_compared_and_that_is_said(self) -> None:
        judgement = judge(standing(UNSTABLE, 0.9), baseline=standing(UNSTABLE))
        assert judgement.passed
        assert "not two probabilities" in said(judgement)

    def test_excuses_what_is_beyond_a_threshold_but_no_worse(self) -> None:
        verdict = standing(UNSTABLE, 0.9)
        for thresholds in ({"fail_on": UNSTABLE}, {"max_failure_probability": 0.3}):
            assert not judge(verdict, **thresholds).passed
            assert judge(verdict, **thresholds, baseline=standing(UNSTABLE, 0.9)).passed
            assert not judge(verdict, **thresholds, baseline=standing(STABLE, 0.1)).passed

    def test_excuses_what_is_worse_but_within_a_threshold_that_is_given(self) -> None:
        baseline = standing(STABLE, 0.01)
        assert judge(standing(AT_RISK, 0.25), fail_on=UNSTABLE, baseline=baseline).passed
        assert judge(standing(AT_RISK, 0.25), max_failure_probability=0.3, baseline=baseline).passed

    def test_beside_a_probability_that_is_missing_the_outcome_decides(self) -> None:
        judgement = judge(standing(AT_RISK), max_failure_probability=0.3, baseline=standing(STABLE))
        assert judgement.passed
        assert judgement.judged_by == (Criterion.OUTCOME, Criterion.BASELINE)

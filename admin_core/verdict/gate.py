"""Whether a verdict passes a gate: by its outcome, by its failure probability, or by comparison
with a baseline. No torch is loaded here.

    outcome       fails from a given one on
    probability   fails above a given one; where the verdict has none, the outcome decides
    baseline      fails only what is worse than an earlier verdict

A threshold that is given fails by itself. A baseline excuses what is no regression: alone, it lets
every regression fail; beside thresholds, a verdict must be beyond one of them and a regression too.
"""

from dataclasses import dataclass
from enum import StrEnum

from admin_core.report import Outcome

REGRESSION_MARGIN = 0.1
"""By how much a failure probability must lie above the baseline's to count as worse. Two
probabilities with a calibration error of 0.04 each can lie 0.08 apart and mean the same."""

SEVERITY = {outcome: rank for rank, outcome in enumerate(Outcome)}
"""From good to bad."""


class Criterion(StrEnum):
    """What a gate can judge by."""

    OUTCOME = "outcome"
    FAILURE_PROBABILITY = "failure_probability"
    BASELINE = "baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a gate needs to know of a verdict."""

    outcome: Outcome
    failure_probability: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether a verdict passes, and what that rests on."""

    passed: bool
    judged_by: tuple[Criterion, ...]
    sentences: tuple[str, ...]
    """How each criterion but a mere outcome was met, in plain words."""


def judge(
    verdict: Standing,
    *,
    fail_on: Outcome | None = None,
    max_failure_probability: float | None = None,
    baseline: Standing | None = None,
) -> Judgement:
    """Hold a verdict against what is given; against `unstable` where nothing is.

    Args:
        fail_on: the mildest outcome that fails.
        max_failure_probability: the highest probability that passes.
        baseline: an earlier verdict, against which alone a regression fails.
    """
    judged_by = []
    sentences = []
    beyond = []
    probability = verdict.failure_probability
    if max_failure_probability is not None:
        if probability is None:
            sentences.append("The verdict has no failure probability, so that its outcome decides.")
        else:
            above = probability > max_failure_probability
            place = "above" if above else "not above"
            sentences.append(
                f"The failure probability is {probability:.2g}, {place} the "
                f"{max_failure_probability:g} that may pass."
            )
            judged_by.append(Criterion.FAILURE_PROBABILITY)
            beyond.append(above)
    if fail_on is not None or (not beyond and (sentences or baseline is None)):
        judged_by.insert(0, Criterion.OUTCOME)
        beyond.append(SEVERITY[verdict.outcome] >= SEVERITY[fail_on or Outcome.UNSTABLE])
    fails = any(beyond) if beyond else True
    if baseline is not None:
        regression, sentence = _regression(verdict, baseline)
        judged_by.append(Criterion.BASELINE)
        sentences.append(sentence)
        fails = fails and regression
    return Judgement(passed=not fails, judged_by=tuple(judged_by), sentences=tuple(sentences))


def _regression(verdict: Standing, baseline: Standing) -> tuple[bool, str]:
    """Whether a verdict is worse than the baseline's, and a sentence that says so."""
    now, before = verdict.outcome, baseline.outcome
    if now is not before:
        worse = SEVERITY[now] > SEVERITY[before]
        grade = "worse" if worse else "better"
        return worse, f"Against the baseline, {before}, the outcome is {grade}: {now}."
    p, p_before = verdict.failure_probability, baseline.failure_probability
    if p is None or p_before is None:
        return False, f"As in the baseline, the outcome is {now}; there are not two probabilities."
    if p - p_before > REGRESSION_MARGIN:
        return True, (
            f"Against the baseline, the failure probability rose from {p_before:.2g} to {p:.2g}, "
            f"by more than {REGRESSION_MARGIN:g}."
        )
    return False, (
        f"As in the baseline, the outcome is {now}, and the failure probability went from "
        f"{p_before:.2g} to {p:.2g}, up by no more than {REGRESSION_MARGIN:g}."
    )

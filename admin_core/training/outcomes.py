"""What a run has become, by rules that are written down here and nowhere else.

Judged on the mean cross-entropy of each step, in nats, in this order:

    diverged    a loss is not finite; or, from some step on, every loss is above
                DIVERGED_FACTOR times the first one, for at least the tail
    stalled     the tail's mean is not below STALLED_SHARE of the unigram loss
    spiked      none of these, but a loss was above SPIKE_PRESET's threshold on the way
    converged   none of these

The tail is the last TAIL_SHARE of the planned steps, and at least MIN_TAIL of them. A run that was
stopped before its end is judged by the steps that it took.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from admin_core.race_report import RaceOutcome
from admin_core.training.loss_rules import LOSS_RULES, LossPreset, firing_steps

DIVERGED_FACTOR = 1.05
"""A loss this much above the first one is worse than no training at all."""

STALLED_SHARE = 0.9
"""Of the unigram loss. What text a model has begun to read lies below it: pairs of letters alone
bring English bytes to 0.75 of their unigram loss."""

SPIKE_PRESET = LossPreset.OLMO

TAIL_SHARE = 0.1
MIN_TAIL = 10

OUTCOME_RULES = {
    RaceOutcome.DIVERGED: "a loss is not finite, or from some step on every loss is above "
    f"{DIVERGED_FACTOR:g} times the first one, for at least a tenth of the planned steps",
    RaceOutcome.STALLED: "the mean of the last tenth of the losses is not below "
    f"{STALLED_SHARE:g} of the unigram loss",
    RaceOutcome.SPIKED: f"trained, but on the way: {LOSS_RULES[SPIKE_PRESET].formula}",
    RaceOutcome.CONVERGED: "none of these",
}
"""The same in words, for a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A run's outcome and the figures behind it."""

    outcome: RaceOutcome
    diverged_at_step: int | None
    """From 1: of the first loss that is not finite, or the first of those that stay above the
    first loss."""

    final_loss: float | None
    """The tail's mean; none where no loss was finite."""

    spikes: list[int]
    """Steps at which a spike began."""


def tail_length(steps: int) -> int:
    """How many of the last steps are looked at, of a run of `steps`."""
    return max(MIN_TAIL, round(TAIL_SHARE * steps))


def judge_run(
    losses: Sequence[float], *, non_finite_at: int | None, unigram_loss: float, steps: int
) -> Judgement:
    """The outcome of one run.

    Args:
        losses: of each step, all finite; those before the first that was not.
        non_finite_at: the step of the first loss that was not finite, from 1.
        unigram_loss: in nats.
        steps: that the run was planned to take.
    """
    final_loss = _final_loss(losses, steps)
    diverged_at = non_finite_at or _above_the_first_for_good(losses, steps)
    spikes = firing_steps(losses, LOSS_RULES[SPIKE_PRESET])
    if diverged_at is not None or final_loss is None:
        outcome = RaceOutcome.DIVERGED
    elif final_loss >= STALLED_SHARE * unigram_loss:
        outcome = RaceOutcome.STALLED
    elif spikes:
        outcome = RaceOutcome.SPIKED
    else:
        outcome = RaceOutcome.CONVERGED
    return Judgement(
        outcome=outcome, diverged_at_step=diverged_at, final_loss=final_loss, spikes=spikes
    )


def is_hopeless(losses: Sequence[float], *, unigram_loss: float, steps: int) -> bool:
    """Whether a run that is still going would be called diverged or stalled if it ended now."""
    final_loss = _final_loss(losses, steps)
    if final_loss is None or final_loss >= STALLED_SHARE * unigram_loss:
        return True
    return _above_the_first_for_good(losses, steps) is not None


def steps_to(target: float, losses: Sequence[float]) -> int | None:
    """The first step at which the mean of the last MIN_TAIL losses is at or below `target`."""
    for step in range(MIN_TAIL, len(losses) + 1):
        if fmean(losses[step - MIN_TAIL : step]) <= target:
            return step
    return None


def _final_loss(losses: Sequence[float], steps: int) -> float | None:
    tail = losses[-tail_length(steps) :]
    return fmean(tail) if tail else None


def _above_the_first_for_good(losses: Sequence[float], steps: int) -> int | None:
    if not losses:
        return None
    bound = DIVERGED_FACTOR * losses[0]
    last_within = max(step for step, loss in enumerate(losses, start=1) if loss <= bound)
    return last_within + 1 if len(losses) - last_within >= tail_length(steps) else None

"""Whether what was predicted of a race's arms came true. No torch is loaded here.

A prediction is a probability and a race has few seeds, so that a race can bear a prediction out or
speak against it and no more. It bears it out where the likelier fate is that of most seeds.
"""

from collections.abc import Sequence

from admin_core.race_report import ArmResult, RaceOutcome

FAILED = frozenset({RaceOutcome.STALLED, RaceOutcome.DIVERGED})
"""What a failure probability is the probability of."""


def predictions_met(arms: Sequence[ArmResult]) -> list[str]:
    """A sentence for each arm of which something was predicted."""
    return [
        _met(arm, arm.predicted_failure_probability)
        for arm in arms
        if arm.predicted_failure_probability is not None
    ]


def _met(arm: ArmResult, predicted: float) -> str:
    total = len(arm.seeds)
    failed = sum(seed.outcome in FAILED for seed in arm.seeds)
    seeds = "its one seed" if total == 1 else f"{total} seeds"
    facts = (
        f"{arm.name} was predicted to fail with probability {predicted:.2g}, and failed in "
        f"{failed} of {seeds}"
    )
    if 2 * failed == total or predicted == 0.5:
        return f"{facts}, which speaks neither for the prediction nor against it."
    came_true = (predicted > 0.5) == (2 * failed > total)
    return f"{facts}: the prediction {'came' if came_true else 'did not come'} true."

"""Arms compared over their seeds. No torch is loaded here.

All arms of a seed share their data and, where their shapes agree, their weights, so that arms are
compared seed by seed: the differences vary far less than the losses themselves.
"""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, stdev

from admin_core.race_prediction import predictions_met
from admin_core.race_report import (
    ArmResult,
    Difference,
    RaceEnvironment,
    RaceOutcome,
    RaceReport,
    SeedResult,
)
from admin_core.race_spec import Arm, RaceSpec
from admin_core.training.outcomes import OUTCOME_RULES, steps_to

FROM_GOOD_TO_BAD = list(RaceOutcome)

TRAINED = frozenset({RaceOutcome.CONVERGED, RaceOutcome.SPIKED})
"""Outcomes of a run that learned more than frequencies."""

STUDENT_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""The 97.5 % quantile for 1, 2, ... degrees of freedom."""


def student_t(degrees: int) -> float:
    """The 97.5 % quantile of Student's t; beyond the table, within 1 in 1,000 by its expansion."""
    if degrees <= len(STUDENT_T):
        return STUDENT_T[degrees - 1]
    z = 1.95996
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    return z + (z**3 + z) / (4 * degrees) + second


def standard_error(values: Sequence[float]) -> float | None:
    """Of the mean; None for fewer than two values."""
    return stdev(values) / len(values) ** 0.5 if len(values) > 1 else None


def compare(
    spec: RaceSpec, results: Sequence[SeedResult], environment: RaceEnvironment
) -> RaceReport:
    """The report on `results`, one per arm and seed, in any order."""
    of_arm = {
        arm.name: sorted(
            (result for result in results if result.arm == arm.name),
            key=lambda result: spec.seeds.index(result.seed),
        )
        for arm in spec.arms
    }
    best = _best(of_arm)
    target = spec.target_loss
    if target is None:
        reached = [_mean_final(seeds) for seeds in of_arm.values() if _all_trained(seeds)]
        target = max((loss for loss in reached if loss is not None), default=None)
    arms = [
        _arm(arm, of_arm[arm.name], best=best, best_seeds=of_arm.get(best or "", []), target=target)
        for arm in spec.arms
    ]
    return RaceReport(
        arms=arms,
        target_loss=target,
        unigram_loss=fmean(result.unigram_loss for result in results),
        rules=OUTCOME_RULES,
        conclusion=" ".join([conclusion(arms), *predictions_met(arms)]),
        environment=environment,
    )


def conclusion(arms: Sequence[ArmResult]) -> str:
    """What happened, in plain words, and nothing that the figures do not bear out."""
    sentences = [_fate(arm) for arm in arms]
    best = next((arm for arm in arms if arm.behind_best and arm.behind_best.best == arm.name), None)
    if best is None:
        return " ".join([*sentences, "No arm trained in every seed, so that none is best."])
    others = [arm for arm in arms if arm is not best and _all_trained(arm.seeds)]
    for arm in sorted(others, key=lambda arm: arm.final_loss or 0.0):
        sentences.append(_distance(arm, best))
    if not others and len(arms) > 1:
        sentences.append(f"{best.name} is the only arm that trained in every seed.")
    return " ".join(sentences)


def _arm(
    arm: Arm,
    seeds: Sequence[SeedResult],
    *,
    best: str | None,
    best_seeds: Sequence[SeedResult],
    target: float | None,
) -> ArmResult:
    finished = _finished(seeds)
    final = [loss for loss in (seed.final_loss for seed in finished) if loss is not None]
    held_out = [seed.validation[-1].loss for seed in finished if seed.validation]
    known = [loss for loss in held_out if loss is not None]
    reached = [] if target is None else [steps_to(target, seed.losses) for seed in seeds]
    steps = [step for step in reached if step is not None]
    outcomes = Counter(seed.outcome for seed in seeds)
    return ArmResult(
        name=arm.name,
        predicted_failure_probability=arm.predicted_failure_probability,
        outcome=max(outcomes, key=FROM_GOOD_TO_BAD.index),
        outcomes=dict(outcomes),
        final_loss=fmean(final) if final else None,
        standard_error=standard_error(final),
        final_loss_seeds=len(final),
        validation_loss=fmean(known) if known else None,
        steps_to_target=fmean(steps) if len(steps) == len(seeds) else None,
        reached_target=len(steps),
        behind_best=None if best is None else _difference(best, seeds, best_seeds),
        tokens_per_second=fmean(seed.tokens_per_second for seed in seeds),
        num_parameters=seeds[0].num_parameters,
        seeds=list(seeds),
    )


def _difference(
    best: str, seeds: Sequence[SeedResult], best_seeds: Sequence[SeedResult]
) -> Difference | None:
    losses = {seed.seed: seed.final_loss for seed in _finished(best_seeds)}
    differences = [
        seed.final_loss - of_best
        for seed in _finished(seeds)
        if seed.final_loss is not None and (of_best := losses.get(seed.seed)) is not None
    ]
    if not differences:
        return None
    mean, error = fmean(differences), standard_error(differences)
    interval = None
    if error is not None:
        reach = student_t(len(differences) - 1) * error
        interval = (mean - reach, mean + reach)
    return Difference(
        best=best,
        mean=mean,
        standard_error=error,
        interval=interval,
        num_seeds=len(differences),
    )


def _best(of_arm: dict[str, list[SeedResult]]) -> str | None:
    """The arm with the lowest mean final loss among those that trained in every seed."""
    trained = {name: _mean_final(seeds) for name, seeds in of_arm.items() if _all_trained(seeds)}
    losses = {name: loss for name, loss in trained.items() if loss is not None}
    return min(losses, key=losses.__getitem__, default=None)


def _all_trained(seeds: Sequence[SeedResult]) -> bool:
    return all(seed.outcome in TRAINED for seed in seeds)


def _finished(seeds: Sequence[SeedResult]) -> list[SeedResult]:
    return [seed for seed in seeds if seed.outcome is not RaceOutcome.DIVERGED]


def _mean_final(seeds: Sequence[SeedResult]) -> float | None:
    losses = [seed.final_loss for seed in seeds if seed.final_loss is not None]
    return fmean(losses) if losses else None


def _fate(arm: ArmResult) -> str:
    """One arm's sentence: how many seeds ended how, and at what loss."""
    total = len(arm.seeds)
    ends = [
        f"{outcome.value} in "
        + ("its one seed" if total == 1 else f"{arm.outcomes[outcome]} of {total} seeds")
        for outcome in FROM_GOOD_TO_BAD
        if outcome in arm.outcomes
    ]
    sentence = f"{arm.name} {', '.join(ends)}"
    if arm.final_loss is not None:
        error = "" if arm.standard_error is None else f" ± {arm.standard_error:.3f}"
        among = "" if arm.final_loss_seeds == total else " where it did not diverge"
        unigram = fmean(seed.unigram_loss for seed in arm.seeds)
        sentence += f", final loss {arm.final_loss:.3f}{error}{among}"
        if RaceOutcome.STALLED in arm.outcomes:
            sentence += f" against a unigram loss of {unigram:.3f}"
    return sentence + "."


def _distance(arm: ArmResult, best: ArmResult) -> str:
    """How far a trained arm is behind the best one, as far as the seeds can tell."""
    difference = arm.behind_best
    if difference is None:
        return f"{arm.name} and {best.name} have no seed in common."
    if difference.interval is None:
        return (
            f"{best.name} ends {difference.mean:.3f} nats below {arm.name} with the one seed that "
            "they share, which says nothing of other seeds."
        )
    low, high = difference.interval
    interval = f"95 % interval {low:.3f} to {high:.3f}, {difference.num_seeds} seeds in pairs"
    if low > 0:
        return f"{best.name} ends {difference.mean:.3f} nats below {arm.name} ({interval})."
    return f"{best.name} and {arm.name} cannot be told apart ({interval})."

"""The verdict where there is no probability, from two measurements a stack.

    growth        N^s: how much further the output of N sub-layers moves under a random step than
                  a single one's would
    update share  D_N / (2 d_model) under one step of the optimizer at the peak learning rate: 0
                  when the output stays where it is, 1 when nothing of it is left, since two
                  unrelated states of unit deviation lie 2 d_model apart

The exponent s is the measured log-log slope, steadied: the slope of one set of weights scatters, in
narrow models by a half, while the slope that the theory makes of the measured dependencies beta_ii
does not. Both are averaged, each by the inverse of its variance: the measured one's from its
interval, the theory's from THEORY_ERROR.

A stack that amplifies is unstable where the optimizer's steps are large enough to be amplified.
The thresholds lie between the runs that trained and those that did not in a small trial; they are
edges that were seen, not probabilities. `python -m bench.first_verdict` repeats the trial.
"""

from collections.abc import Collection, Mapping

from admin_core.errors import UnavailableError
from admin_core.report import (
    AmplificationSection,
    Outcome,
    OutputChange,
    Reason,
    StackName,
    Verdict,
)

GROWTH_AT_RISK = 22.5
GROWTH_UNSTABLE = 28.0
UPDATE_SHARE_HARMLESS = 0.003
UPDATE_SHARE_AT_RISK = 0.95

THEORY_ERROR = 0.15
"""Standard error of the theory's slope: twice what separates it, at most, from the mean of five
seeds' measured slopes in docs/amplification.md, whose stacks are deeper than most."""

STANDARD_ERRORS_PER_INTERVAL = 2 * 1.96

SEVERITY = {outcome: rank for rank, outcome in enumerate(Outcome)}
"""From good to bad."""


def judge(
    amplification: AmplificationSection,
    *,
    d_model: int | Mapping[StackName, int],
    staged: Collection[StackName] = (),
) -> Verdict:
    """The worst of what the rules say, and why.

    Args:
        d_model: features of the last state, of all stacks or of each.
        staged: stacks whose stream changes its shape on the way. Something that is no sub-layer
            does that, so that the slope over depth is not that of the sub-layers.

    Raises:
        UnavailableError: none of the rules has anything to go by.
    """
    reasons: list[Reason] = []
    for stack, random in amplification.random.items():
        width = d_model if isinstance(d_model, int) else d_model[stack]
        update = amplification.update.get(stack)
        # A model without a loss takes no steps; those that it would take are not harmless.
        share = None if update is None else update.output_change[-1] / (2 * width)
        if stack not in staged:
            reasons.append(_growth(stack, random, 1.0 if share is None else share))
        if share is not None:
            reasons.append(_update(stack, share))
    if not reasons:
        raise UnavailableError(
            "The stream changes its shape between stages and there is no loss to take a step with: "
            "none of the rules has anything to go by."
        )
    reasons.sort(key=lambda reason: -SEVERITY[reason.outcome])
    return Verdict(
        outcome=reasons[0].outcome,
        failure_probability=None,
        outside_calibration=[],
        reasons=reasons,
        edges=[],
        prescriptions=[],
    )


def steadied_slope(random: OutputChange) -> float:
    """The measured slope and the theory's, averaged by the inverse of their variances; 0 where
    nothing moved, or in stacks too shallow for a slope."""
    if random.slope is None or random.slope_interval is None:
        return 0.0
    if random.predicted_slope is None:
        return random.slope
    low, high = random.slope_interval
    variance = ((high - low) / STANDARD_ERRORS_PER_INTERVAL) ** 2
    weight = THEORY_ERROR**2 / (THEORY_ERROR**2 + variance)
    return weight * random.slope + (1 - weight) * random.predicted_slope


def _growth(stack: StackName, random: OutputChange, share: float) -> Reason:
    depth = random.depths[-1]
    growth = depth ** steadied_slope(random)
    harmless = share < UPDATE_SHARE_HARMLESS
    if growth >= GROWTH_UNSTABLE:
        outcome = Outcome.AT_RISK if harmless else Outcome.UNSTABLE
        ending = "as much as stacks that failed to train"
        ending += ", but the optimizer's steps are tiny." if harmless else "."
    elif growth >= GROWTH_AT_RISK:
        outcome, ending = Outcome.AT_RISK, "more than stacks that are known to train."
    else:
        outcome, ending = Outcome.STABLE, "no more than stacks that trained."
    return Reason(
        rule="amplification",
        outcome=outcome,
        path=str(stack),
        measured=growth,
        threshold=GROWTH_UNSTABLE if growth >= GROWTH_UNSTABLE else GROWTH_AT_RISK,
        formula="N^s, s = log-log slope of the output change under a random step, steadied by the "
        "slope of C * sum beta_ii^2",
        explanation=(
            f"Over {depth} sub-layers the {stack} amplifies a small parameter change "
            f"{growth:.1f} times, {ending}"
        ),
    )


def _update(stack: StackName, share: float) -> Reason:
    at_risk = share >= UPDATE_SHARE_AT_RISK
    return Reason(
        rule="update",
        outcome=Outcome.AT_RISK if at_risk else Outcome.STABLE,
        path=str(stack),
        measured=share,
        threshold=UPDATE_SHARE_AT_RISK,
        formula="D_N / (2 d_model) under one optimizer step at the peak learning rate",
        explanation=(
            f"One step at the peak learning rate moves the {stack}'s output "
            f"{100 * share:.2g} % of the way to an unrelated one."
        ),
    )

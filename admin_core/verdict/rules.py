"""A first verdict, from two measurements a stack.

    growth        N^s, where s is the log-log slope of the output change under a random step and N
                  the depth: how much further the output moves than a single sub-layer's would
    update share  D_N / (2 d_model) under one step of the optimizer at the peak learning rate:
                  0 when the output stays where it is, 1 when nothing of it is left, since two
                  unrelated states of unit deviation lie 2 d_model apart

A stack that amplifies is unstable where the optimizer's steps are large enough to be amplified.
The thresholds lie between the runs that trained and those that did not in a small trial; they are
edges that were seen, not probabilities. `bench/first_verdict.py` repeats the trial.
"""

from admin_core.report import AmplificationSection, Outcome, OutputChange, Reason, Verdict
from admin_core.spec import Stack

GROWTH_AT_RISK = 19.5
GROWTH_UNSTABLE = 21.0
UPDATE_SHARE_HARMLESS = 0.003
UPDATE_SHARE_AT_RISK = 0.95

SEVERITY = {outcome: rank for rank, outcome in enumerate(Outcome)}
"""From good to bad."""


def judge(amplification: AmplificationSection, *, d_model: int) -> Verdict:
    """The worst of what the rules say, and why."""
    reasons = []
    for stack, random in amplification.random.items():
        share = amplification.update[stack].output_change[-1] / (2 * d_model)
        reasons += [_growth(stack, random, share), _update(stack, share)]
    reasons.sort(key=lambda reason: -SEVERITY[reason.outcome])
    return Verdict(outcome=reasons[0].outcome, reasons=reasons)


def _growth(stack: Stack, random: OutputChange, share: float) -> Reason:
    depth = random.depths[-1]
    growth = depth ** (random.slope or 0.0)
    harmless = share < UPDATE_SHARE_HARMLESS
    if growth >= GROWTH_UNSTABLE:
        outcome = Outcome.AT_RISK if harmless else Outcome.UNSTABLE
    else:
        outcome = Outcome.AT_RISK if growth >= GROWTH_AT_RISK else Outcome.STABLE
    told = f"Over {depth} sub-layers the {stack.value} amplifies a small parameter change"
    ending = {
        Outcome.STABLE: "no more than stacks that trained.",
        Outcome.AT_RISK: "about as much as the mildest stacks that failed to train.",
        Outcome.UNSTABLE: "as much as stacks that failed to train.",
    }[outcome]
    if harmless and growth >= GROWTH_UNSTABLE:
        ending = "as much as stacks that failed to train, but the optimizer's steps are tiny."
    return Reason(
        rule="amplification",
        outcome=outcome,
        path=stack.value,
        measured=growth,
        threshold=GROWTH_UNSTABLE if growth >= GROWTH_UNSTABLE else GROWTH_AT_RISK,
        formula="N^s, s = log-log slope of the output change under a random step",
        explanation=f"{told} {growth:.1f} times, {ending}",
    )


def _update(stack: Stack, share: float) -> Reason:
    at_risk = share >= UPDATE_SHARE_AT_RISK
    return Reason(
        rule="update",
        outcome=Outcome.AT_RISK if at_risk else Outcome.STABLE,
        path=stack.value,
        measured=share,
        threshold=UPDATE_SHARE_AT_RISK,
        formula="D_N / (2 d_model) under one optimizer step at the peak learning rate",
        explanation=(
            f"One step at the peak learning rate moves the {stack.value}'s output "
            f"{100 * share:.2g} % of the way to an unrelated one."
        ),
    )

"""The numbers that the failure model reads: some measured by the probe, some from the spec alone.

Notation:
    eta_t     full learning rate of step t, peak the largest of them
    S         sum over all steps of eta_t / peak: the run's length in steps at the peak
    unigram   entropy of the tokens' frequencies, the loss of a model that knows nothing else

What cannot be measured (a gradient that is exactly zero, a model without logits) counts as if
nothing was wrong with it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from admin_core.spec import Optimizer, TrainingSpec
from admin_core.verdict.full_rate import SUMMED_STEPS, full_rate, peak_rate
from admin_core.verdict.probe import PROBE_STEPS, Probe, probe_rate

LARGEST = 6.0
"""Where every feature is cut off, on both sides."""

LATE = 3
"""Steps at the end of the probe, all of them at the peak learning rate."""

LEAST_EXCESS = 0.05
"""The least share of the unigram loss that a fresh model's loss is taken to lie above it."""


class Cause(StrEnum):
    """What a feature speaks of; a verdict gives one reason for each."""

    COLLAPSE = "collapse"
    """The states of all tokens become one, and so does the output."""
    GRADIENT_DECAY = "gradient_decay"
    """The gradient dies, or explodes, on its way through the stack."""
    STEP_SIZE = "step_size"
    """The optimizer's steps are large for the weights."""
    LOSS = "loss"
    """The loss does not fall in the first steps, or rises."""
    SCHEDULE = "schedule"
    """Warm-up, number of steps and decay."""
    TASK = "task"
    """How much a batch asks, and how hard it is to guess."""
    DEPTH = "depth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One number that the failure model reads."""

    name: str
    cause: Cause
    formula: str
    monotone: int = 0
    """1 where more of it can only raise the probability, -1 where it can only lower it."""


FEATURES = (
    Feature(
        name="token_similarity",
        cause=Cause.COLLAPSE,
        formula="-log10(1 - mean over places s != t of u_s . u_t) after the probe",
    ),
    Feature(
        name="token_similarity_before",
        cause=Cause.COLLAPSE,
        formula="the same before it",
    ),
    Feature(
        name="prediction_information",
        cause=Cause.COLLAPSE,
        formula="log10(H(mean_t p_t) - mean_t H(p_t)) after the probe",
    ),
    Feature(
        name="logit_deviation",
        cause=Cause.COLLAPSE,
        formula="standard deviation of the logits after the probe",
    ),
    Feature(
        name="gradient_decay",
        cause=Cause.GRADIENT_DECAY,
        formula="|log10(|g_N| / |g_1|)| after the probe, of the worst stack",
        monotone=1,
    ),
    Feature(
        name="gradient_spread",
        cause=Cause.GRADIENT_DECAY,
        formula="log10(max |g_i| / min |g_i|) after the probe, of the worst stack",
        monotone=1,
    ),
    Feature(
        name="state_gradient_decay",
        cause=Cause.GRADIENT_DECAY,
        formula="log10(|dL/dx_N| / |dL/dx_1|) after the probe, of the worst stack",
    ),
    Feature(
        name="gradient_decay_before",
        cause=Cause.GRADIENT_DECAY,
        formula="|log10(|g_N| / |g_1|)| before the probe, of the worst stack",
    ),
    Feature(
        name="gradient_norm",
        cause=Cause.STEP_SIZE,
        formula="log10 of the gradient's norm after the probe",
    ),
    Feature(
        name="gradient_growth",
        cause=Cause.STEP_SIZE,
        formula="log10 of the gradient's norm after the probe over the one before",
    ),
    Feature(
        name="update_ratio",
        cause=Cause.STEP_SIZE,
        formula="log10(|W* - W| / |W|) of the probe's last step",
    ),
    Feature(
        name="loss_after",
        cause=Cause.LOSS,
        formula="log10(loss after the probe / unigram)",
    ),
    Feature(
        name="loss_rise",
        cause=Cause.LOSS,
        formula="log10(largest loss in the probe / first)",
        monotone=1,
    ),
    Feature(
        name="loss_fall",
        cause=Cause.LOSS,
        formula="(first loss - loss after the probe) / unigram",
    ),
    Feature(
        name="progress",
        cause=Cause.SCHEDULE,
        formula="log10 of how many times over the run would come down to the unigram loss at the "
        "pace of the probe",
    ),
    Feature(
        name="pace",
        cause=Cause.SCHEDULE,
        formula="the same at the pace of the probe's last LATE steps",
    ),
    Feature(
        name="path",
        cause=Cause.SCHEDULE,
        formula="log10(S |W* - W| / |W|)",
    ),
    Feature(
        name="length",
        cause=Cause.SCHEDULE,
        formula="log10 S",
        monotone=-1,
    ),
    Feature(
        name="warm_up",
        cause=Cause.SCHEDULE,
        formula="log10(1 + warm-up steps)",
    ),
    Feature(
        name="warm_up_share",
        cause=Cause.SCHEDULE,
        formula="warm-up steps / steps",
    ),
    Feature(
        name="memory",
        cause=Cause.SCHEDULE,
        formula="-log10(1 - beta2), 0 for SGD",
    ),
    Feature(
        name="averaging",
        cause=Cause.SCHEDULE,
        formula="1 where the weights are an average of the steps (schedule-free), else 0",
    ),
    Feature(
        name="answers",
        cause=Cause.TASK,
        formula="log10 of the targets in a batch",
    ),
    Feature(
        name="unigram",
        cause=Cause.TASK,
        formula="log10 unigram",
    ),
    Feature(
        name="depth",
        cause=Cause.DEPTH,
        formula="log10 of all sub-layers",
    ),
)
"""All of them, in the order of the failure model's columns."""


def features(
    probe: Probe, training: TrainingSpec, *, depth: int, unigram: float, answers: int
) -> list[float]:
    """One value for each of FEATURES, all finite.

    Args:
        probe: what was measured.
        training: how the run would go on.
        depth: sub-layers of all stacks together.
        unigram: in nats.
        answers: targets in a batch.
    """
    after, before = list(probe.after.values()), list(probe.before.values())
    first, last = (probe.losses[0], probe.losses[-1]) if probe.losses else (unigram, math.inf)
    fall = (first - last) / unigram
    length = effective_steps(training)
    excess = max(first - unigram, LEAST_EXCESS * unigram)
    found = {
        "token_similarity": _worst(-_log(1 - s.token_similarity) for s in after),
        "token_similarity_before": _worst(-_log(1 - s.token_similarity) for s in before),
        "prediction_information": _log(probe.prediction_information or 0.0),
        "logit_deviation": _log(probe.logit_deviation or 1.0),
        "gradient_decay": _worst(abs(s.gradient_decay or 0.0) for s in after),
        "gradient_spread": _worst(s.gradient_spread or 0.0 for s in after),
        "state_gradient_decay": _worst(s.state_gradient_decay or 0.0 for s in after),
        "gradient_decay_before": _worst(abs(s.gradient_decay or 0.0) for s in before),
        "gradient_norm": _log(probe.gradient_norm[1]),
        "gradient_growth": _log(probe.gradient_norm[1]) - _log(probe.gradient_norm[0]),
        "update_ratio": _log(probe.update_ratio),
        "loss_after": _log(last / unigram),
        "loss_rise": _log(max(probe.losses, default=math.inf) / first),
        "loss_fall": fall,
        "progress": _log((first - last) / excess * length / probe_length(training)),
        "pace": _log(_late_fall(probe) / excess * length / LATE),
        "path": _log(probe.update_ratio * length),
        "length": _log(length),
        "warm_up": math.log10(1 + training.warmup_steps),
        "warm_up_share": min(1.0, training.warmup_steps / training.steps),
        "memory": -_log(1 - training.betas[1]) if training.optimizer is not Optimizer.SGD else 0.0,
        "averaging": float(training.optimizer is Optimizer.SCHEDULE_FREE),
        "answers": math.log10(max(1, answers)),
        "unigram": _log(unigram),
        "depth": math.log10(depth),
    }
    if not probe.finite:
        found |= {"loss_rise": LARGEST, "loss_after": LARGEST, "loss_fall": -LARGEST}
    return [min(LARGEST, max(-LARGEST, found[feature.name])) for feature in FEATURES]


def effective_steps(training: TrainingSpec) -> float:
    """S, the run's length in steps at the peak learning rate."""
    stride = max(1, training.steps // SUMMED_STEPS)
    rates = (full_rate(t, training) for t in range(1, training.steps + 1, stride))
    peak = peak_rate(training)
    # RAdam with so short a memory, or so few steps, never takes one in full.
    return stride * sum(rates) / peak if peak else 0.0


def probe_length(training: TrainingSpec) -> float:
    """The probe's length in steps at the peak learning rate."""
    return sum(probe_rate(training, step) for step in range(1, PROBE_STEPS + 1))


def _late_fall(probe: Probe) -> float:
    """By how much the loss fell over the probe's last LATE steps."""
    if len(probe.losses) <= LATE:
        return -LARGEST
    return probe.losses[-1 - LATE] - probe.losses[-1]


def _worst(values: Iterable[float]) -> float:
    return max(values, key=abs, default=0.0)


def _log(x: float) -> float:
    if x == -math.inf:
        return -LARGEST
    if not math.isfinite(x):
        return LARGEST
    return math.log10(max(x, 10**-LARGEST))

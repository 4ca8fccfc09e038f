"""The numbers that the failure model reads: some measured by the probe, some from the spec alone.

Notation:
    eta_t     full learning rate of step t, peak the largest of them
    S         sum over all steps of eta_t / peak: the run's length in steps at the peak
    unigram   entropy of the tokens' frequencies, the loss of a model that knows nothing else
    late      mean over the last fourth of the probe's steps, each on a batch that no step has seen
    early     mean over the second fourth
    H_q, n_q  entropy of a query's attention weights in nats, and the keys that it may see

What cannot be measured (a gradient that is exactly zero, a model without logits) counts as if
nothing was wrong with it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, linear_regression

from admin_core.report import NormPlacement
from admin_core.spec import TrainingSpec
from admin_core.verdict.full_rate import SUMMED_STEPS, full_rate, peak_rate
from admin_core.verdict.probe import Probe, probe_rate, probe_steps

LARGEST = 6.0
"""Where every feature is cut off, on both sides."""

LARGEST_DESCENT = 2.0
"""A step cannot do more than the gradient promises but by curvature."""

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
    CONTEXT = "context"
    """The model does not begin to tell places apart."""
    SCHEDULE = "schedule"
    """Warm-up, number of steps and decay."""
    TASK = "task"
    """How much of the answers has to come from other places."""
    DEPTH = "depth"
    """How many sub-layers there are, and where their norms stand."""


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
        name="attention_entropy",
        cause=Cause.COLLAPSE,
        formula="least mean over queries of H_q / log n_q in an attention, after the probe",
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
        name="descent",
        cause=Cause.STEP_SIZE,
        formula="(L(W) - L(W*)) / (g . (W - W*)) of the probe's last step on its own batch",
    ),
    Feature(
        name="loss_late",
        cause=Cause.LOSS,
        formula="log10(late loss / unigram)",
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
        formula="(first loss - late loss) / unigram",
    ),
    Feature(
        name="context_gain",
        cause=Cause.CONTEXT,
        formula="late gain of the answers over the model's own average prediction, over unigram",
    ),
    Feature(
        name="context_gain_growth",
        cause=Cause.CONTEXT,
        formula="(late gain - early gain) / unigram",
    ),
    Feature(
        name="alignment",
        cause=Cause.CONTEXT,
        formula="late fit of what a place says beyond the average to its own answer, in standard "
        "deviations",
        monotone=-1,
    ),
    Feature(
        name="alignment_growth",
        cause=Cause.CONTEXT,
        formula="late fit - early fit",
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
        formula="the same at the pace of the line through the probe's second half",
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
        name="readable",
        cause=Cause.COLLAPSE,
        formula="R^2 of a ridge regression of the answers on the fresh model's last states, on a "
        "batch that it was not fitted to",
    ),
    Feature(
        name="told_at_hand",
        cause=Cause.TASK,
        formula="share of the answers' entropy that the token or the number of their place tells",
        monotone=-1,
    ),
    Feature(
        name="depth",
        cause=Cause.DEPTH,
        formula="log10 of all sub-layers",
    ),
    Feature(
        name="post_ln",
        cause=Cause.DEPTH,
        formula="share of sub-layers whose norm stands behind the addition",
    ),
)
"""All of them, in the order of the failure model's columns."""


def features(
    probe: Probe,
    training: TrainingSpec,
    *,
    placements: Sequence[NormPlacement],
    unigram: float,
    at_hand: float,
    readable: float,
) -> list[float]:
    """One value for each of FEATURES, all finite.

    Args:
        probe: what was measured.
        training: how the run would go on.
        placements: of the norm of each sub-layer of all stacks.
        unigram: in nats.
        at_hand: of the data (`told_at_hand`).
        readable: of the fresh model's last states (`readable`).
    """
    after, before = list(probe.after.values()), list(probe.before.values())
    losses, said = probe.losses[:-1], probe.predictions[:-1]  # without the look back
    gains = [seen.context_gain for seen in said]
    alignments = [seen.alignment for seen in said]
    first, late = (losses[0], _late(losses)) if losses else (unigram, math.inf)
    last = probe.predictions[-1] if probe.predictions else None
    attention = probe.attention_entropy
    length = effective_steps(training)
    excess = max(first - unigram, LEAST_EXCESS * unigram)
    slope = _slope(losses[len(losses) // 2 :])
    found = {
        "token_similarity": _worst(-_log(1 - s.token_similarity) for s in after),
        "token_similarity_before": _worst(-_log(1 - s.token_similarity) for s in before),
        "prediction_information": _log(last.information if last else 0.0),
        "logit_deviation": _log(last.deviation if last else 1.0),
        "attention_entropy": 1.0 if attention is None else attention,
        "gradient_decay": _worst(abs(s.gradient_decay or 0.0) for s in after),
        "gradient_spread": _worst(s.gradient_spread or 0.0 for s in after),
        "state_gradient_decay": _worst(s.state_gradient_decay or 0.0 for s in after),
        "gradient_decay_before": _worst(abs(s.gradient_decay or 0.0) for s in before),
        "gradient_norm": _log(probe.gradient_norm[1]),
        "gradient_growth": _log(probe.gradient_norm[1]) - _log(probe.gradient_norm[0]),
        "update_ratio": _log(probe.update_ratio),
        "descent": max(-LARGEST_DESCENT, min(LARGEST_DESCENT, probe.descent or 0.0)),
        "loss_late": _log(late / unigram),
        "loss_rise": _log(max(losses, default=math.inf) / first),
        "loss_fall": (first - late) / unigram,
        "context_gain": _late(gains) / unigram,
        "context_gain_growth": (_late(gains) - _early(gains)) / unigram,
        "alignment": _late(alignments),
        "alignment_growth": _late(alignments) - _early(alignments),
        "progress": _log((first - late) / excess * length / probe_length(training)),
        "pace": _log(-slope / excess * length),
        "path": _log(probe.update_ratio * length),
        "length": _log(length),
        "warm_up": math.log10(1 + training.warmup_steps),
        "warm_up_share": min(1.0, training.warmup_steps / training.steps),
        "readable": readable,
        "told_at_hand": at_hand,
        "depth": math.log10(len(placements)),
        "post_ln": sum(p is NormPlacement.POST for p in placements) / len(placements),
    }
    if not probe.finite:
        found |= {"loss_rise": LARGEST, "loss_late": LARGEST, "loss_fall": -LARGEST}
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
    return sum(probe_rate(training, step) for step in range(1, probe_steps(training) + 1))


def _late(values: Sequence[float]) -> float:
    """The mean of the last fourth; 0 of none."""
    return fmean(values[-max(1, len(values) // 4) :]) if values else 0.0


def _early(values: Sequence[float]) -> float:
    """The mean of the second fourth; 0 of none."""
    fourth = max(1, len(values) // 4)
    return fmean(values[fourth : 2 * fourth] or values[:1]) if values else 0.0


def _slope(values: Sequence[float]) -> float:
    """Of the least-squares line through values a step apart; 0 of fewer than two."""
    return linear_regression(range(len(values)), values).slope if len(values) > 1 else 0.0


def _worst(values: Iterable[float]) -> float:
    return max(values, key=abs, default=0.0)


def _log(x: float) -> float:
    if x == -math.inf:
        return -LARGEST
    if not math.isfinite(x):
        return LARGEST
    return math.log10(max(x, 10**-LARGEST))

"""Variances of the fresh weights, as `admin_core.models.initialisation` and `scaling` draw them."""

from dataclasses import dataclass

from admin_core.report import Role
from admin_core.schemes import (
    deepnorm_beta,
    sub_ln_gain,
    t_fixup_embedding_scale,
    t_fixup_scale,
)
from admin_core.size import num_sublayers
from admin_core.spec import Initialisation, Scheme, Stack, TransformerSpec

GPT2_VARIANCE = 0.02**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """By how much each matrix of a branch multiplies the variance of what it reads: the variance
    of its weights times their number of inputs."""

    query: float = 0.0
    key: float = 0.0
    value: float = 0.0
    input: float = 0.0
    output: float = 0.0


def branch_gains(spec: TransformerSpec, stack: Stack, role: Role) -> Gains:
    """The gains of one branch, with what the stack's scheme does to them."""
    d_model, d_ff, kv_width = spec.d_model, spec.feed_forward_width, spec.kv_width
    on_query, on_value, on_all = _rescaled(spec, stack, role)
    depth = num_sublayers(spec)[stack]

    def gain(fan_in: int, fan_out: int) -> float:
        match spec.initialisation:
            case Initialisation.GPT2:
                return fan_in * GPT2_VARIANCE
            case Initialisation.T5:
                return 1.0
            case Initialisation.XAVIER:
                return 2 * fan_in / (fan_in + fan_out)

    narrowed = 1 / depth if spec.initialisation is Initialisation.GPT2 else 1.0
    if role is Role.FEED_FORWARD:
        return Gains(
            input=on_all * gain(d_model, d_ff), output=on_all * narrowed * gain(d_ff, d_model)
        )
    fused = 0.5 if spec.initialisation is Initialisation.XAVIER else 1.0
    return Gains(
        query=on_query * fused * gain(d_model, d_model),
        key=on_query * fused * gain(d_model, kv_width),
        value=on_value * on_all * fused * gain(d_model, kv_width),
        output=on_all * narrowed * gain(d_model, d_model),
    )


def _rescaled(spec: TransformerSpec, stack: Stack, role: Role) -> tuple[float, float, float]:
    """The squares of a scheme's factors on queries and keys, on values, and on values, outputs and
    feed-forward matrices."""
    counts = spec.encoder_layers, spec.decoder_layers
    unfused = 2.0 if spec.initialisation is Initialisation.XAVIER else 1.0
    match spec.scheme_of(stack):
        case Scheme.DEEPNORM:
            return unfused, unfused, deepnorm_beta(stack, *counts) ** 2
        case Scheme.SUB_LN:
            excepted = role is Role.CROSS_ATTENTION
            return unfused, unfused, 1.0 if excepted else sub_ln_gain(stack, *counts) ** 2
        case Scheme.T_FIXUP:
            return 1.0, unfused, t_fixup_scale(stack, *counts) ** 2
        case _:
            return 1.0, 1.0, 1.0


def token_variance(spec: TransformerSpec, stack: Stack) -> float:
    """Variance of a token's embedding as it enters."""
    readers = list(spec.layers) if spec.tied_embeddings else [stack]
    fixed = [reader for reader in readers if spec.scheme_of(reader) is Scheme.T_FIXUP]
    factor = 1.0
    if fixed:
        factor = t_fixup_embedding_scale(fixed[0], spec.encoder_layers, spec.decoder_layers)
    own = GPT2_VARIANCE if spec.initialisation is Initialisation.GPT2 else 1.0
    return factor**2 * own


def learned_position_variance(spec: TransformerSpec) -> float:
    """Variance of a learned position, which no scale multiplies."""
    match spec.initialisation:
        case Initialisation.GPT2:
            return GPT2_VARIANCE
        case Initialisation.T5:
            return 1.0
        case Initialisation.XAVIER:
            return 1 / spec.d_model

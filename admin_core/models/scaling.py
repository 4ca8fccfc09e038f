"""What a scheme does to fresh weights, on top of their initialisation.

    DeepNorm   values, attention outputs and feed-forward matrices times beta
    sub-LN     the same matrices times a gain, those of cross-attention excepted
    T-Fixup    the same matrices times a scale, and the embeddings times another

These schemes speak of Xavier matrices of gain 1, so that the gain 1/sqrt(2) of a fused projection
is undone: for queries, keys and values in DeepNorm and sub-LN, for values alone in T-Fixup.
The formulas and their sources are in `admin_core.schemes`.
"""

import math

import torch
from torch import nn

from admin_core.models.attention import Attention
from admin_core.models.feed_forward import FeedForward, GatedFeedForward
from admin_core.models.sublayer import SubLayer
from admin_core.report import Role
from admin_core.schemes import (
    deepnorm_beta,
    sub_ln_gain,
    t_fixup_embedding_scale,
    t_fixup_scale,
)
from admin_core.spec import Initialisation, Scheme, Stack, TransformerSpec


@torch.no_grad()
def rescale(model: nn.Module, spec: TransformerSpec) -> None:
    """Multiply the matrices of freshly initialised `model` as the scheme of their stack asks."""
    for path, sublayer in model.named_modules():
        if isinstance(sublayer, SubLayer):
            rescale_sublayer(sublayer, spec, Stack(path.split(".", 1)[0]))
    rescaled = [stack for stack in spec.layers if spec.scheme_of(stack) is Scheme.T_FIXUP]
    for stack in rescaled[:1] if spec.tied_embeddings else rescaled:
        tokens = model.get_submodule(f"{stack.value}.embedding.tokens")
        tokens.get_parameter("weight").mul_(embedding_factor(spec, stack))


@torch.no_grad()
def rescale_sublayer(sublayer: SubLayer, spec: TransformerSpec, stack: Stack) -> None:
    """The same for one sub-layer of the stack."""
    counts = spec.encoder_layers, spec.decoder_layers
    unfuse = math.sqrt(2) if spec.initialisation is Initialisation.XAVIER else 1.0
    match spec.scheme_of(stack):
        case Scheme.DEEPNORM:
            _multiply(sublayer, deepnorm_beta(stack, *counts), unfuse, unfuse)
        case Scheme.SUB_LN:
            excepted = sublayer.role is Role.CROSS_ATTENTION
            gain = 1.0 if excepted else sub_ln_gain(stack, *counts)
            _multiply(sublayer, gain, unfuse, unfuse)
        case Scheme.T_FIXUP:
            _multiply(sublayer, t_fixup_scale(stack, *counts), unfuse, 1.0)


def _multiply(sublayer: SubLayer, scale: float, unfuse_value: float, unfuse_query: float) -> None:
    branch = sublayer.branch
    if isinstance(branch, Attention):
        branch.query.weight.mul_(unfuse_query)
        branch.key.weight.mul_(unfuse_query)
        branch.value.weight.mul_(unfuse_value * scale)
        branch.output.weight.mul_(scale)
    elif isinstance(branch, FeedForward):
        branch.input.weight.mul_(scale)
        branch.output.weight.mul_(scale)
        if isinstance(branch, GatedFeedForward):
            branch.gate.weight.mul_(scale)


def embedding_factor(spec: TransformerSpec, stack: Stack) -> float:
    """What the token embeddings that a stack reads are multiplied by. Tied, they are one matrix for
    all, and the encoder's factor goes before."""
    readers = list(spec.layers) if spec.tied_embeddings else [stack]
    rescaled = [reader for reader in readers if spec.scheme_of(reader) is Scheme.T_FIXUP]
    if not rescaled:
        return 1.0
    return t_fixup_embedding_scale(rescaled[0], spec.encoder_layers, spec.decoder_layers)

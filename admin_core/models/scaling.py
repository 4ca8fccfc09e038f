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
    counts = spec.encoder_layers, spec.decoder_layers
    unfuse = math.sqrt(2) if spec.initialisation is Initialisation.XAVIER else 1.0
    for path, sublayer in model.named_modules():
        if not isinstance(sublayer, SubLayer):
            continue
        stack = Stack(path.split(".", 1)[0])
        match spec.scheme_of(stack):
            case Scheme.DEEPNORM:
                _multiply(sublayer, deepnorm_beta(stack, *counts), unfuse, unfuse)
            case Scheme.SUB_LN:
                excepted = sublayer.role is Role.CROSS_ATTENTION
                gain = 1.0 if excepted else sub_ln_gain(stack, *counts)
                _multiply(sublayer, gain, unfuse, unfuse)
            case Scheme.T_FIXUP:
                _multiply(sublayer, t_fixup_scale(stack, *counts), unfuse, 1.0)
    _rescale_embeddings(model, spec)


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


def _rescale_embeddings(model: nn.Module, spec: TransformerSpec) -> None:
    stacks = [stack for stack in spec.layers if spec.scheme_of(stack) is Scheme.T_FIXUP]
    if spec.tied_embeddings:
        stacks = stacks[:1]  # one matrix for all; the encoder's scale where it has one
    for stack in stacks:
        scale = t_fixup_embedding_scale(stack, spec.encoder_layers, spec.decoder_layers)
        model.get_submodule(f"{stack.value}.embedding.tokens").get_parameter("weight").mul_(scale)

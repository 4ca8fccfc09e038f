"""Fresh weights.

    xavier   the paper's. Xavier-uniform matrices, U(-a, a) with a = sqrt(6 / (fan_in + fan_out));
             query, key and value over sqrt(2), which is what Xavier gives their fused
             (3 d_model, d_model) matrix; embeddings N(0, 1/d_model) that enter times sqrt(d_model)
    gpt2     N(0, 0.02^2) everywhere; the projections onto the shortcut over the square root of
             their stack's number of sub-layers (Radford et al. 2019)
    t5       N(0, 1/fan_in) matrices, embeddings N(0, 1); tied logits over sqrt(d_model) (Raffel
             et al. 2020). T5 leaves attention logits unscaled and its query N(0, 1/(d_model
             d_head)) instead: the same function as here

Biases are 0, norms and omegas 1, ReZero's gates 0. Each parameter draws from streams of its own,
named by its path, so that one sub-layer can be made without the others (`streamed`).
Source of xavier: the released code of Liu et al. 2020, on fairseq.
"""

import math
from collections.abc import Collection
from functools import partial

import torch
from torch import Tensor, nn

from admin_core.blocks import Drawing, draw_in_blocks
from admin_core.models.attention import Attention
from admin_core.models.feed_forward import FeedForward
from admin_core.models.sublayer import GatedAddition, ScaledShortcutAddition
from admin_core.size import num_sublayers
from admin_core.spec import Initialisation, TransformerSpec

GPT2_STD = 0.02
OUTPUT = "output"
"""Path of the projection from the last state to logits, where it has weights of its own."""


def embedding_scale(spec: TransformerSpec) -> float:
    """What token embeddings are multiplied by on their way in."""
    return math.sqrt(spec.d_model) if spec.initialisation is Initialisation.XAVIER else 1.0


def logit_scale(spec: TransformerSpec) -> float:
    """What logits are multiplied by on their way out."""
    t5 = spec.initialisation is Initialisation.T5
    return spec.d_model**-0.5 if t5 and spec.tied_embeddings else 1.0


@torch.no_grad()
def initialise(
    model: nn.Module,
    spec: TransformerSpec,
    *,
    seed: int,
    path: str = "",
    rows: Collection[int] | None = None,
) -> None:
    """Fill every parameter of `model`, in place.

    Args:
        path: of `model` within the Transformer, where it is a part of one.
        rows: those of an embedding that will be read, where it is not all of them.
    """
    narrowed = _narrowed(model, spec, path)
    drawings: list[Drawing] = []
    for at, module in model.named_modules(prefix=path):
        if isinstance(module, nn.Linear | nn.Embedding):
            std = _std(at, module, spec) * narrowed.get(module, 1.0)
            uniform = spec.initialisation is Initialisation.XAVIER and isinstance(module, nn.Linear)
            drawings.append(
                Drawing(
                    matrix=module.weight,
                    seed=seed,
                    purpose=f"{at}.weight",
                    draw=partial(_fill, std=std, uniform=uniform),
                    rows=rows,
                )
            )
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.LayerNorm | nn.RMSNorm | ScaledShortcutAddition | GatedAddition):
            module.reset_parameters()
    draw_in_blocks(drawings)


def _fill(block: Tensor, generator: torch.Generator, *, std: float, uniform: bool) -> None:
    # On the CPU, where a seed means the same numbers whatever the device.
    drawn = block if block.device.type == "cpu" else torch.empty(block.shape)
    if uniform:
        bound = math.sqrt(3) * std
        drawn.uniform_(-bound, bound, generator=generator)
    else:
        drawn.normal_(0, std, generator=generator)
    if drawn is not block:
        block.copy_(drawn)


def _std(path: str, module: nn.Linear | nn.Embedding, spec: TransformerSpec) -> float:
    """The standard deviation of a weight matrix by its kind alone."""
    is_embedding = isinstance(module, nn.Embedding)
    match spec.initialisation:
        case Initialisation.GPT2:
            return GPT2_STD
        case Initialisation.T5:
            return 1.0 if is_embedding else 1 / math.sqrt(module.weight.shape[1])
        case Initialisation.XAVIER:
            # An untied output projection is an embedding that is read backwards.
            if is_embedding or path == OUTPUT:
                return 1 / math.sqrt(spec.d_model)
            return math.sqrt(2 / (module.weight.shape[0] + module.weight.shape[1]))


def _narrowed(model: nn.Module, spec: TransformerSpec, path: str) -> dict[nn.Module, float]:
    """The factors on matrices that their place in the network makes narrower."""
    factors: dict[nn.Module, float] = {}
    depth = {stack.value: n for stack, n in num_sublayers(spec).items()}
    for at, module in model.named_modules(prefix=path):
        if not isinstance(module, Attention | FeedForward):
            continue
        if spec.initialisation is Initialisation.GPT2:
            factors[module.output] = depth[at.split(".", 1)[0]] ** -0.5
        elif spec.initialisation is Initialisation.XAVIER and isinstance(module, Attention):
            for projection in (module.query, module.key, module.value):
                factors[projection] = 2**-0.5
    return factors

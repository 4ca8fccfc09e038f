"""The paper's initialisation.

Xavier-uniform on every weight matrix, U(-a, a) with a = gain * sqrt(6 / (fan_in + fan_out)); the
query, key and value projections take gain 1/sqrt(2), which is what Xavier gives their fused
(3 d_model, d_model) matrix; embeddings are N(0, 1/d_model); biases 0, norms 1.

Each parameter draws from a stream of its own, named by its path, so that one sub-layer can be
made without the others. Source: the released code of Liu et al. 2020, on fairseq.
"""

import math

import torch
from torch import nn

from admin_core.models.attention import Attention
from admin_core.models.sublayer import ScaledShortcutAddition
from admin_core.seeds import stream


@torch.no_grad()
def initialise(model: nn.Module, *, seed: int) -> None:
    """Fill every parameter of `model`, in place."""
    gains = {
        projection: 1 / math.sqrt(2)
        for attention in model.modules()
        if isinstance(attention, Attention)
        for projection in (attention.query, attention.key, attention.value)
    }
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear):
            weight = torch.empty(module.weight.shape)
            nn.init.xavier_uniform_(
                weight, gains.get(module, 1.0), generator=stream(seed, f"{path}.weight")
            )
            module.weight.copy_(weight)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.Embedding):
            weight = torch.empty(module.weight.shape)
            std = module.embedding_dim**-0.5
            weight.normal_(0, std, generator=stream(seed, f"{path}.weight"))
            module.weight.copy_(weight)
        elif isinstance(module, nn.LayerNorm | ScaledShortcutAddition):
            module.reset_parameters()

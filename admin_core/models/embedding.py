"""x_0: tokens and positions, before the first sub-layer."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def sinusoidal_positions(
    seq: int, d_model: int, *, device: torch.device
) -> Float[Tensor, "seq d_model"]:
    """sin and cos of position / 10000^(k / (half - 1)): the sines of all frequencies first, then
    the cosines; an odd width ends in a zero. Source: Vaswani et al. 2017 in fairseq's layout, with
    which the paper's omegas were made."""
    half = d_model // 2
    step = math.log(10_000) / max(half - 1, 1)
    frequency = torch.exp(-step * torch.arange(half, device=device))
    angle = torch.outer(torch.arange(seq, device=device), frequency)
    odd = torch.zeros(seq, d_model % 2, device=device)
    return torch.cat([angle.sin(), angle.cos(), odd], dim=1)


class Embedding(nn.Module):
    """dropout(sqrt(d_model) * token embedding + sinusoidal position)"""

    def __init__(self, tokens: nn.Embedding, *, dropout: float) -> None:
        super().__init__()
        self.tokens = tokens
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq d_model"]:
        d_model = self.tokens.embedding_dim
        embedded = math.sqrt(d_model) * self.tokens(tokens)
        positions = sinusoidal_positions(tokens.shape[1], d_model, device=tokens.device)
        return self.dropout(embedded + positions.to(embedded.dtype))  # type: ignore[no-any-return]

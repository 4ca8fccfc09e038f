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


class SinusoidalPositions(nn.Module):
    """The fixed waves, made anew for each length."""

    def forward(self, x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "seq d_model"]:
        _, seq, d_model = x.shape
        return sinusoidal_positions(seq, d_model, device=x.device).to(x.dtype)


class LearnedPositions(nn.Module):
    """A trainable row for each position."""

    def __init__(self, max_positions: int, d_model: int) -> None:
        super().__init__()
        self.table = nn.Embedding(max_positions, d_model)

    def forward(self, x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "seq d_model"]:
        return self.table.weight[: x.shape[1]]


class Embedding(nn.Module):
    """dropout(norm(scale * token embedding + position))"""

    def __init__(
        self,
        tokens: nn.Embedding,
        *,
        scale: float,
        dropout: float,
        positions: nn.Module | None = None,
        norm: nn.Module | None = None,
    ) -> None:
        """Without `positions`, the attention branches bring their own."""
        super().__init__()
        self.tokens = tokens
        self.scale = scale
        self.positions = positions
        self.norm = norm or nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq d_model"]:
        x = self.scale * self.tokens(tokens)
        if self.positions is not None:
            x = x + self.positions(x)
        return self.dropout(self.norm(x))  # type: ignore[no-any-return]

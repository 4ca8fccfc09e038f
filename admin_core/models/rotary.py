"""Rotary positions: each pair of features turns by an angle that grows with the position.

Source: Su et al. 2021, RoFormer; the pairs are (k, k + d_head / 2), as in GPT-NeoX and Llama.
"""

import torch
from jaxtyping import Float
from torch import Tensor

BASE = 10_000.0


def rotate(x: Float[Tensor, "batch heads seq d_head"]) -> Float[Tensor, "batch heads seq d_head"]:
    """x with the pairs at position t turned by t * BASE^(-2k / d_head)."""
    seq, d_head = x.shape[-2:]
    pair = torch.arange(d_head // 2, device=x.device, dtype=torch.float32)
    frequency = BASE ** (-2 * pair / d_head)
    angle = torch.outer(torch.arange(seq, device=x.device, dtype=torch.float32), frequency)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

"""A norm with its statistics held: a linear map per token, and a shift.

    LayerNorm   N(t) = gamma * (t - mean(t)) / sqrt(Var(t) + eps) + b
    RMSNorm     N(t) = gamma * t / sqrt(mean(t^2) + eps)

With the statistics of one total t held, the map carries each summand of t on its own, and the
carried summands add up to N(t) - b.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from admin_core.errors import UnavailableError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldNorm:
    """The norm of one batch of totals."""

    gain: Float[Tensor, "tokens d_model"] | None
    """gamma over each token's deviation; None where there is no norm."""

    centres: bool
    """Whether it takes off the mean over features."""

    shift: Float[Tensor, " d_model"] | float
    """b."""

    variance: float | None
    """Of what comes out, over tokens and features, as the weights alone have it: mean(gamma^2) +
    Var(b); None where there is no norm."""

    def carry_(self, parts: Float[Tensor, "components tokens d_model"]) -> None:
        """Map each summand, in place."""
        if self.centres:
            parts -= parts.mean(-1, keepdim=True)
        if self.gain is not None:
            parts *= self.gain


def hold(norm: nn.Module | None, total: Float[Tensor, "tokens d_model"]) -> HeldNorm:
    """The linear map that `norm`, a LayerNorm, an RMSNorm or none, is at `total`.

    Raises:
        UnavailableError: it is none of these.
    """
    if norm is None or isinstance(norm, nn.Identity):
        return HeldNorm(gain=None, centres=False, shift=0.0, variance=None)
    if not isinstance(norm, nn.LayerNorm | nn.RMSNorm):
        raise UnavailableError(
            f"A {type(norm).__name__} follows a shortcut addition, and only a LayerNorm or an "
            "RMSNorm of torch is known to be a linear map of each token."
        )
    centres = isinstance(norm, nn.LayerNorm)
    if centres:
        square = total.var(dim=-1, correction=0, keepdim=True)
    else:
        square = total.square().mean(dim=-1, keepdim=True)
    epsilon = torch.finfo(total.dtype).eps if norm.eps is None else norm.eps
    deviation = (square + epsilon).sqrt()
    gamma = torch.ones_like(total[0]) if norm.weight is None else norm.weight.float()
    bias: Tensor | None = getattr(norm, "bias", None)
    shift = torch.zeros_like(gamma) if bias is None else bias.float()
    return HeldNorm(
        gain=gamma / deviation,
        centres=centres,
        shift=shift,
        variance=float(gamma.square().mean() + shift.var(correction=0)),
    )

"""The norms."""

from torch import nn

from admin_core.spec import Norm


def make_norm(kind: Norm, width: int) -> nn.LayerNorm | nn.RMSNorm:
    """A fresh norm over `width` features, with a trainable scale (and shift, for LayerNorm)."""
    if kind is Norm.RMS_NORM:
        return nn.RMSNorm(width, eps=1e-6)
    return nn.LayerNorm(width, eps=1e-5)

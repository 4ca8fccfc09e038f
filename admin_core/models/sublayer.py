"""The sub-layer: a shortcut, a residual branch, and where the norm sits.

    Post-LN   x_i = LN(x_{i-1} + f_i(x_{i-1}))
    Pre-LN    x_i = x_{i-1} + f_i(LN(x_{i-1}))
    Admin     x_i = LN(omega_i * x_{i-1} + f_i(x_{i-1}))

All three are one frame with parts left out, so that no sub-layer knows any scheme.
Source: Liu et al., EMNLP 2020, arXiv:2004.08249.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from admin_core.report import NormPlacement, Role


class ShortcutAddition(nn.Module):
    """shortcut + branch: the one place of a sub-layer where both are visible."""

    def forward(
        self,
        shortcut: Float[Tensor, "batch seq d_model"],
        branch: Float[Tensor, "batch seq d_model"],
    ) -> Float[Tensor, "batch seq d_model"]:
        return shortcut + branch


class ScaledShortcutAddition(ShortcutAddition):
    """omega * shortcut + branch, with a trainable omega per feature."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.omega = nn.Parameter(torch.empty(d_model))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """omega = 1, with which Admin is Post-LN."""
        nn.init.ones_(self.omega)

    def forward(
        self,
        shortcut: Float[Tensor, "batch seq d_model"],
        branch: Float[Tensor, "batch seq d_model"],
    ) -> Float[Tensor, "batch seq d_model"]:
        return self.omega * shortcut + branch


class SubLayer(nn.Module):
    """x_i = post_norm(add(x_{i-1}, dropout(f_i(pre_norm(x_{i-1})))))"""

    def __init__(
        self,
        branch: nn.Module,
        *,
        role: Role,
        add: ShortcutAddition,
        dropout: float,
        pre_norm: nn.Module | None = None,
        post_norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.role = role
        self.pre_norm = pre_norm or nn.Identity()
        self.branch = branch
        self.dropout = nn.Dropout(dropout)
        self.add = add
        self.post_norm = post_norm or nn.Identity()

    @property
    def norm_placement(self) -> NormPlacement:
        has_post_norm = not isinstance(self.post_norm, nn.Identity)
        return NormPlacement.POST if has_post_norm else NormPlacement.PRE

    def forward(
        self,
        x: Float[Tensor, "batch seq d_model"],
        memory: Float[Tensor, "batch source d_model"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """x_i from x_{i-1}; `memory` is what a cross-attention branch attends to."""
        context = () if memory is None else (memory,)
        branch = self.dropout(self.branch(self.pre_norm(x), *context))
        return self.post_norm(self.add(x, branch))  # type: ignore[no-any-return]

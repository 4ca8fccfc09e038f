"""The sub-layer: a shortcut, a residual branch, and the norms around them.

    x_i = post_norm(omega_i * x_{i-1} + gate_i * branch_norm(f_i(pre_norm(x_{i-1}))))

Every scheme is this one frame with parts left out, so that no sub-layer knows any scheme:

    Post-LN   x_i = LN(x_{i-1} + f_i(x_{i-1}))
    Pre-LN    x_i = x_{i-1} + f_i(LN(x_{i-1}))
    Admin     x_i = LN(omega_i * x_{i-1} + f_i(x_{i-1}))        omega_i trainable, per feature
    DeepNorm  x_i = LN(alpha * x_{i-1} + f_i(x_{i-1}))          alpha constant
    ReZero    x_i = x_{i-1} + gate_i * f_i(x_{i-1})             gate_i trainable, 0 at first
    Sandwich  x_i = x_{i-1} + LN(f_i(LN(x_{i-1})))

Source: Liu et al., EMNLP 2020, arXiv:2004.08249, and the papers named in `admin_core.frames`.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from admin_core.report import NormPlacement, Role


class ShortcutAddition(nn.Module):
    """shortcut + branch: the one place of a sub-layer where both are visible."""

    def operands(
        self,
        shortcut: Float[Tensor, "batch seq d_model"],
        branch: Float[Tensor, "batch seq d_model"],
    ) -> tuple[Float[Tensor, "batch seq d_model"], Float[Tensor, "batch seq d_model"]]:
        """The two tensors that are added, scales applied."""
        return shortcut, branch

    def forward(
        self,
        shortcut: Float[Tensor, "batch seq d_model"],
        branch: Float[Tensor, "batch seq d_model"],
    ) -> Float[Tensor, "batch seq d_model"]:
        scaled_shortcut, scaled_branch = self.operands(shortcut, branch)
        return scaled_shortcut + scaled_branch


class ScaledShortcutAddition(ShortcutAddition):
    """omega * shortcut + branch, with a trainable omega per feature: Admin."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.omega = nn.Parameter(torch.empty(d_model))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """omega = 1, with which Admin is Post-LN."""
        nn.init.ones_(self.omega)

    def operands(
        self,
        shortcut: Float[Tensor, "batch seq d_model"],
        branch: Float[Tensor, "batch seq d_model"],
    ) -> tuple[Float[Tensor, "batch seq d_model"], Float[Tensor, "batch seq d_model"]]:
        return self.omega * shortcut, branch


class ConstantShortcutAddition(ShortcutAddition):
    """alpha * shortcut + branch, with a constant alpha: DeepNorm."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def operands(
        self,
        shortcut: Float[Tensor, "batch seq d_model"],
        branch: Float[Tensor, "batch seq d_model"],
    ) -> tuple[Float[Tensor, "batch seq d_model"], Float[Tensor, "batch seq d_model"]]:
        return self.alpha * shortcut, branch


class GatedAddition(ShortcutAddition):
    """shortcut + gate * branch, with one trainable gate: ReZero."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """gate = 0: at first the sub-layer passes its input on."""
        nn.init.zeros_(self.gate)

    def operands(
        self,
        shortcut: Float[Tensor, "batch seq d_model"],
        branch: Float[Tensor, "batch seq d_model"],
    ) -> tuple[Float[Tensor, "batch seq d_model"], Float[Tensor, "batch seq d_model"]]:
        return shortcut, self.gate * branch


class SubLayer(nn.Module):
    """x_i = post_norm(add(x_{i-1}, dropout(branch_norm(f_i(pre_norm(x_{i-1}))))))"""

    def __init__(
        self,
        branch: nn.Module,
        *,
        role: Role,
        add: ShortcutAddition,
        dropout: float,
        pre_norm: nn.Module | None = None,
        branch_norm: nn.Module | None = None,
        post_norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.role = role
        self.pre_norm = pre_norm or nn.Identity()
        self.branch = branch
        self.branch_norm = branch_norm or nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.add = add
        self.post_norm = post_norm or nn.Identity()

    @property
    def norm_placement(self) -> NormPlacement:
        if not isinstance(self.post_norm, nn.Identity):
            return NormPlacement.POST
        if not isinstance(self.branch_norm, nn.Identity):
            return NormPlacement.SANDWICH
        if not isinstance(self.pre_norm, nn.Identity):
            return NormPlacement.PRE
        return NormPlacement.NONE

    def forward(
        self,
        x: Float[Tensor, "batch seq d_model"],
        *,
        read: Float[Tensor, "batch seq d_model"] | None = None,
        memory: Float[Tensor, "batch source d_model"] | None = None,
        padding: Bool[Tensor, "batch attended"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """x_i from x_{i-1}.

        Args:
            x: the shortcut, x_{i-1}.
            read: what the branch reads in place of x, where branches run in parallel.
            memory: what a cross-attention branch attends to.
            padding: True at the attended positions that hold no token.
        """
        branch_input = self.pre_norm(x if read is None else read)
        if self.role is Role.FEED_FORWARD:
            branch = self.branch(branch_input)
        else:
            branch = self.branch(branch_input, memory, padding)
        return self.post_norm(self.add(x, self.dropout(self.branch_norm(branch))))  # type: ignore[no-any-return]

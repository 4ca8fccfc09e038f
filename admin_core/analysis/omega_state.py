"""The omegas of a model as a state dict, one value per feature where they are trained.

A tensor ``PATH.add.omega`` per sub-layer. In the `admin-torch` package each addition is a module
with a buffer or parameter `omega`, so that these names fit a model whose sub-layers hold
`admin_torch.as_module(...)` at the attribute `add`. Its buffers hold one element, its parameters
one per feature; both are read.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from admin_core.errors import OmegaFileError
from admin_core.models.sublayer import ScaledShortcutAddition
from admin_core.omega_files import check_names, tensor_name
from admin_core.residual import ResidualBranch, SubLayerBranch


def admin_branches(
    branches: Sequence[ResidualBranch],
) -> list[tuple[ResidualBranch, ScaledShortcutAddition]]:
    """The branches whose shortcut a trainable omega scales, with their addition."""
    return [
        (branch, branch.sublayer.add)
        for branch in branches
        if isinstance(branch, SubLayerBranch)
        and isinstance(branch.sublayer.add, ScaledShortcutAddition)
    ]


def omega_state(branches: Sequence[ResidualBranch]) -> dict[str, Tensor]:
    """A copy of every omega of a model, in forward order; empty where it has none."""
    return {
        tensor_name(branch): add.omega.detach().clone() for branch, add in admin_branches(branches)
    }


@torch.no_grad()
def load_omega_state(branches: Sequence[ResidualBranch], state: Mapping[str, Tensor]) -> None:
    """Fill every omega of a model, in place, from one element or one per feature.

    Raises:
        OmegaFileError: a tensor is missing, superfluous, of another size, or holds anything but
            finite numbers; nothing was changed.
    """
    found = admin_branches(branches)
    check_names(list(state), [branch for branch, _ in found])
    for branch, add in found:
        name = tensor_name(branch)
        omega = state[name]
        if omega.numel() not in (1, len(add.omega)) or omega.ndim > 1:
            raise OmegaFileError(
                name, f"has the shape {tuple(omega.shape)}, where (1,) or {(len(add.omega),)} fits."
            )
        if not (omega.is_floating_point() and torch.isfinite(omega).all()):
            raise OmegaFileError(name, "holds something else than finite real numbers.")
    for branch, add in found:
        add.omega.copy_(state[tensor_name(branch)].expand_as(add.omega))

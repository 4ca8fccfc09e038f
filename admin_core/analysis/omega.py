"""Apply Admin's omegas to a model.

x_i = LN(omega_i * x_{i-1} + f_i(x_{i-1})),   omega_i in R^d_model, filled with one value
"""

from collections.abc import Sequence

import torch

from admin_core.analysis.profiling import BranchProfile
from admin_core.models.sublayer import ScaledShortcutAddition


@torch.no_grad()
def apply_omegas(profiles: Sequence[BranchProfile]) -> None:
    """Fill the omega of every sub-layer that has one, in place, with what its profile found."""
    for profile in profiles:
        add = profile.branch.sublayer.add
        if isinstance(add, ScaledShortcutAddition) and profile.omega is not None:
            add.omega.fill_(profile.omega)

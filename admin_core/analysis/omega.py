"""Apply Admin's omegas to a model, and say how they were found.

x_i = LN(omega_i * x_{i-1} + f_i(x_{i-1})),   omega_i in R^d_model, filled with one value
"""

from collections.abc import Sequence

import torch

from admin_core.analysis.conventions import first_value_rule
from admin_core.analysis.profiling import BranchProfile
from admin_core.applicability import applicability
from admin_core.comparators import comparators
from admin_core.models.sublayer import ScaledShortcutAddition
from admin_core.report import OmegaSection
from admin_core.residual import SubLayerBranch
from admin_core.spec import ClosedFormOmega, DiagnosisSpec


@torch.no_grad()
def apply_omegas(profiles: Sequence[BranchProfile]) -> None:
    """Fill the omega of every sub-layer that has one, in place, with what its profile found."""
    for profile in profiles:
        branch = profile.branch
        if isinstance(branch, SubLayerBranch) and profile.omega is not None:
            add = branch.sublayer.add
            if isinstance(add, ScaledShortcutAddition):
                add.omega.fill_(profile.omega)


def omega_section(spec: DiagnosisSpec, *, pretrained: bool = False) -> OmegaSection:
    """How the omegas of a diagnosis of `spec` were found, and whether they mean anything.

    Args:
        pretrained: whether the model's weights are trained rather than fresh.
    """
    omega, found = spec.omega, applicability(spec.model, pretrained=pretrained)
    return OmegaSection(
        convention=omega.convention,
        first_value=first_value_rule(omega),
        scale=omega.scale if isinstance(omega, ClosedFormOmega) else None,
        applicable=bool(found.stacks),
        reason=found.reason,
        batches=omega.batches,
        seeds=omega.seeds,
        padding=omega.padding,
        dropout=omega.dropout,
        comparators=comparators(spec.model),
    )

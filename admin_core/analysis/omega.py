"""Apply Admin's omegas to a model, and say how they were found.

x_i = LN(omega_i * x_{i-1} + f_i(x_{i-1})),   omega_i in R^d_model, filled with one value
"""

from collections.abc import Mapping, Sequence

import torch

from admin_core.analysis.conventions import first_value_rule
from admin_core.analysis.profiling import BranchProfile
from admin_core.applicability import Applicability
from admin_core.models.sublayer import ScaledShortcutAddition
from admin_core.report import Comparators, OmegaSection, StackName
from admin_core.residual import ResidualBranch, SubLayerBranch
from admin_core.spec import ClosedFormOmega, OmegaSpec


def apply_omegas(profiles: Sequence[BranchProfile]) -> None:
    """Fill the omega of every sub-layer that has one, in place, with what its profile found."""
    fill_omegas({p.branch: p.omega for p in profiles if p.omega is not None})


@torch.no_grad()
def fill_omegas(omegas: Mapping[ResidualBranch, float]) -> None:
    """The same with omegas from anywhere."""
    for branch, omega in omegas.items():
        if isinstance(branch, SubLayerBranch):
            add = branch.sublayer.add
            if isinstance(add, ScaledShortcutAddition):
                add.omega.fill_(omega)


def omega_section(
    omega: OmegaSpec, found: Applicability, comparators: dict[StackName, Comparators]
) -> OmegaSection:
    """How the omegas of a diagnosis were found, and whether they mean anything.

    Args:
        omega: the convention, and the passes.
        found: the stacks that take omegas.
        comparators: what other schemes would set in each stack.
    """
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
        comparators=comparators,
    )

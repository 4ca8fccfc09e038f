"""Profile the residual branches: one forward pass, one mean and one variance a branch.

Notation:
    x_{i-1}   the input of sub-layer i, which the shortcut carries past the branch
    f_i       its residual branch
    Var       population variance over batch, tokens and features together, in float32

With the `clinic` convention of the authors' released code each omega is applied in the very pass
that measures it:

    omega_1 = 1,   omega_{i+1}^2 = Var[omega_i x_{i-1}] + Var[f_i(x_{i-1})]

in a chain of its own for each stack. Source: Liu et al., EMNLP 2020; Transformer-Clinic.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from admin_core.data.batch import Batch
from admin_core.errors import DegenerateBranchError
from admin_core.models.transformer import Transformer
from admin_core.residual import ResidualBranch, at_additions
from admin_core.seeds import ambient
from admin_core.spec import Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchProfile:
    """What one pass measured at one sub-layer."""

    branch: ResidualBranch
    shortcut_variance: float
    """Var[x_{i-1}], unscaled."""

    branch_variance: float
    """Var[f_i(x_{i-1})]."""

    branch_variance_sem: float | None
    """Standard error of branch_variance from the spread between sequences; None for one
    sequence."""

    sum_variance: float
    """Var[omega_i x_{i-1} + f_i(x_{i-1})]."""

    omega: float | None
    """omega_i, applied in this pass; None in a stack that takes none."""


def variance(x: Float[Tensor, "batch seq d_model"]) -> tuple[Tensor, Tensor]:
    """Var[x] over all its elements, and the contribution of each sequence to it.

        Var[x] = mean_b (Var_b + (mean_b - mean)^2)

    Returns:
        Var[x], a scalar, and the summands, one for each of the batch's sequences; float32.
    """
    within, mean = torch.var_mean(x.float(), dim=(1, 2), correction=0)
    summands = within + (mean - mean.mean()).square()
    return summands.mean(), summands


@torch.no_grad()
def profile(
    model: Transformer,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    *,
    admin_stacks: Collection[Stack],
    seed: int,
) -> list[BranchProfile]:
    """One pass in training mode, in which the sub-layers of `admin_stacks` take Admin's omegas by
    the `clinic` convention and all others run as they are.

    Args:
        model: with every omega it has at 1.
        branches: of the model, in forward order.
        batch: the tokens that the variances are taken over.
        admin_stacks: the stacks to find omegas for; the others report None.
        seed: of dropout.

    Returns:
        One profile per branch, in the same order.

    Raises:
        DegenerateBranchError: a branch's variance is zero or not finite.
    """
    chain = {stack: torch.ones(()) for stack in admin_stacks}
    measured: list[Tensor] = []

    def measure(branch: ResidualBranch, shortcut: Tensor, output: Tensor) -> Tensor | None:
        omega = chain.get(branch.stack)
        scaled = shortcut if omega is None else omega * shortcut
        shortcut_variance, _ = variance(shortcut)
        branch_variance, summands = variance(output)
        sum_variance, _ = variance(scaled + output)
        sem = summands.std() / len(summands) ** 0.5
        measured.append(
            torch.stack(
                [
                    shortcut_variance,
                    branch_variance,
                    sem if len(summands) > 1 else torch.full_like(sem, torch.nan),
                    sum_variance,
                    torch.full_like(sem, torch.nan) if omega is None else omega.to(sem.device),
                ]
            )
        )
        if omega is not None:
            scaled_variance = omega.square() * shortcut_variance
            chain[branch.stack] = (scaled_variance + branch_variance).sqrt()
        return omega

    model.train()
    device = next(iter(batch.inputs.values())).device
    with at_additions(branches, measure), ambient(seed, "dropout", device):
        model.states(**batch.inputs)
    rows = torch.stack(measured).tolist()
    return [_checked(branch, *row) for branch, row in zip(branches, rows, strict=True)]


def _checked(
    branch: ResidualBranch,
    shortcut_variance: float,
    branch_variance: float,
    sem: float,
    sum_variance: float,
    omega: float,
) -> BranchProfile:
    if not 0 < branch_variance < float("inf"):
        raise DegenerateBranchError(branch.path, branch_variance)
    return BranchProfile(
        branch=branch,
        shortcut_variance=shortcut_variance,
        branch_variance=branch_variance,
        branch_variance_sem=None if sem != sem else sem,
        sum_variance=sum_variance,
        omega=None if omega != omega else omega,
    )

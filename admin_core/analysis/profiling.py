"""Profile the residual branches: forward passes, and a few variances a branch.

Notation:
    x_{i-1}   the input of sub-layer i, which the shortcut carries past the branch
    f_i       its residual branch
    omega_i   scale on the shortcut, by one of the `conventions`
    Var       population variance over batch, tokens and features together, in float32

The variances depend on dropout (active or not), on padding (counted or masked) and on the tokens;
the options stand in `OmegaSpec` and the defaults are those of the authors' released code.
Source: Liu et al., EMNLP 2020; Transformer-Clinic.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from admin_core.analysis.conventions import make_chain
from admin_core.analysis.tokens import by_token, token_padding
from admin_core.data.batch import Batch
from admin_core.errors import DegenerateBranchError, NonFiniteError
from admin_core.forward import check_seen, in_mode, run
from admin_core.models.transformer import Transformer
from admin_core.report import Branch, StackName
from admin_core.residual import ResidualBranch, at_additions, at_sums, residual_branches
from admin_core.seeds import ambient
from admin_core.spec import ClinicOmega, OmegaSpec, Padding, Stack

CLINIC = ClinicOmega()
"""One pass as in the authors' released code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchProfile:
    """What was measured at one sub-layer, averaged over all passes."""

    branch: ResidualBranch
    shortcut_variance: float
    """Var[x_{i-1}], unscaled."""

    branch_variance: float
    """Var[f_i(x_{i-1})]."""

    branch_variance_sem: float | None
    """Standard error of branch_variance: from the spread between passes, or for a single pass
    between its sequences; None for a single sequence."""

    sum_variance: float
    """Var of what the addition gives, omega_i x_{i-1} + f_i in a stack that takes omegas."""

    dependency: float
    """Var of the branch as it enters the addition, over sum_variance."""

    d_model: int
    """Features of each token that the addition sees."""

    num_tokens: int
    """Tokens of a batch that it sees, padding included."""

    omega: float | None
    """omega_i; None in a stack that takes none."""

    omega_sem: float | None
    """Standard error of omega, from the spread between passes; None for a single pass."""


@dataclass(frozen=True, slots=True)
class Variance:
    """Var[x] = mean over tokens of (Var_t + (mean_t - mean)^2), with what each token adds to it."""

    value: Float[Tensor, ""]
    """NaN where no token counts."""

    summands: Float[Tensor, "batch seq"]
    """Var_t + (mean_t - mean)^2."""

    counts: Float[Tensor, "batch seq"] | None
    """1 of a token that counts, 0 of another; None where all do."""

    def standard_error(self) -> Float[Tensor, ""]:
        """From the spread between sequences, which are independent where the tokens of one are not;
        NaN for a single one."""
        deviations = self.summands - self.value
        if self.counts is not None:
            deviations = self.counts * deviations
        num_tokens = deviations.numel() if self.counts is None else self.counts.sum()
        sequences = deviations.sum(1)  # 0 on average
        batch = len(sequences)
        # Of a sum of independent terms.
        squared = sequences.square().sum() * (batch / (batch - 1 or torch.nan))
        return squared.sqrt() / num_tokens


def variance(
    x: Float[Tensor, "batch seq d_model"], padding: Bool[Tensor, "batch seq"] | None = None
) -> Variance:
    """Var[x] over all features of all tokens that count, in float32.

    Args:
        padding: True at positions that do not count; all count without it.
    """
    x = x.float()
    mean = x.mean(-1)
    # As exact as torch.var_mean, at a tenth of its time on a CPU.
    within = torch.linalg.vector_norm(x - mean.unsqueeze(-1), dim=-1).square() / x.shape[-1]
    if padding is None:
        # A GPU waits for each of these small steps to be sent: none that need not be.
        summands = within + (mean - mean.mean()).square()
        return Variance(summands.mean(), summands, None)
    counts = padding.logical_not().to(within)
    # A position that nothing attends from may hold NaN, which times 0 stays NaN.
    within, mean = within.masked_fill(padding, 0), mean.masked_fill(padding, 0)
    num_tokens = counts.sum()
    summands = within + (mean - (counts * mean).sum() / num_tokens).square()
    return Variance((counts * summands).sum() / num_tokens, summands, counts)


@torch.no_grad()
def profile(
    model: nn.Module,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    *,
    admin_stacks: Collection[StackName],
    seed: int,
    step: int = 0,
    omega: OmegaSpec = CLINIC,
) -> list[BranchProfile]:
    """One forward pass, in which the sub-layers of `admin_stacks` take omegas as the convention
    says and all others run as they are. The model stays in the mode it was in.

    Args:
        model: with every omega it has at 1.
        branches: of the model, in forward order.
        batch: the tokens that the variances are taken over.
        admin_stacks: the stacks to find omegas for; the others report None.
        seed: of dropout.
        step: number of the pass, so that each has dropout of its own.
        omega: the convention, and whether dropout is active and padding counts.

    Returns:
        One profile per branch, in the same order.

    Raises:
        EmptyBatchError, UnknownTokenError: the model cannot read the batch.
        DegenerateBranchError: a branch's variance is zero or not finite.
        NonFiniteError: the same in half precision, by overflow.
    """
    batch.check(model.output_weight.shape[0] if isinstance(model, Transformer) else None)
    found = ProfilePass(branches, batch, admin_stacks=admin_stacks, omega=omega)
    with (
        in_mode(model, training=omega.dropout),
        found.watching(branches),
        ambient(seed, f"dropout.{step}", batch.device),
    ):
        run(model, batch, branches)
    check_seen(branches, found.seen)
    return found.profiles(branches)


class ProfilePass:
    """What one forward pass shows of the branches."""

    def __init__(
        self,
        branches: Sequence[ResidualBranch],
        batch: Batch,
        *,
        admin_stacks: Collection[StackName],
        omega: OmegaSpec,
    ) -> None:
        """The arguments are those of `profile`."""
        self.batch = batch
        self.masked = omega.padding is Padding.MASKED
        self.chains = {
            stack: make_chain(omega, num_sublayers=sum(b.stack == stack for b in branches))
            for stack in admin_stacks
        }
        self.rows: dict[ResidualBranch, list[Tensor]] = {}
        """Var[x_{i-1}], Var[f_i], its standard error, Var of f_i as it is added, omega_i."""
        # Apart, as of branches beside each other the sum may be seen first.
        self.sums: dict[ResidualBranch, Tensor] = {}
        self.outputs: dict[ResidualBranch, tuple[torch.dtype, torch.Size]] = {}

    @contextmanager
    def watching(self, branches: Sequence[ResidualBranch]) -> Iterator[None]:
        """Within the block, what these branches do is measured."""
        with (
            at_additions(branches, self._before_the_addition),
            at_sums(branches, self._after_the_addition),
        ):
            yield

    @property
    def seen(self) -> Collection[ResidualBranch]:
        return self.rows.keys() & self.sums.keys()

    def measured(self, branches: Sequence[ResidualBranch]) -> Float[Tensor, "branches 6"]:
        """The numbers of these branches on the CPU: a row of `rows`, then of `sums`."""
        # Brought there at once, so that the pass never waits for a value.
        return torch.stack(
            [
                torch.stack([value.double() for value in (*self.rows[branch], self.sums[branch])])
                for branch in branches
            ]
        ).cpu()

    def profiles(self, branches: Sequence[ResidualBranch]) -> list[BranchProfile]:
        """What was seen of these branches.

        Raises:
            DegenerateBranchError, NonFiniteError: as `profile` does.
        """
        return [
            _checked(branch, *self.outputs[branch], *row, takes_omega=branch.stack in self.chains)
            for branch, row in zip(branches, self.measured(branches).tolist(), strict=True)
        ]

    def resume(
        self,
        branches: Sequence[ResidualBranch],
        measured: Float[Tensor, "branches 6"],
        *,
        d_model: int,
    ) -> None:
        """Go on behind these branches of the built-in Transformer, of which an earlier pass
        `measured` these numbers."""
        for branch, values in zip(branches, measured, strict=True):
            *row, self.sums[branch] = values
            self.rows[branch] = row
            tokens = self.batch.inputs["source" if branch.stack == Stack.ENCODER else "target"]
            self.outputs[branch] = branch.dtype, torch.Size((*tokens.shape, d_model))
            if branch.stack in self.chains:
                shortcut, output = (value.float() for value in row[:2])
                self.chains[branch.stack].found(shortcut, output)

    def _variance(self, branch: ResidualBranch, x: Tensor) -> Variance:
        tokens = by_token(branch, x)
        padding = self.batch.padding(branch.stack)
        return variance(tokens, token_padding(padding, tokens) if self.masked else None)

    def _before_the_addition(
        self, branch: ResidualBranch, shortcut: Tensor, output: Tensor
    ) -> Tensor | None:
        chain = self.chains.get(branch.stack)
        scale = None if chain is None else chain.applied()
        shortcut_variance = self._variance(branch, shortcut).value
        of_branch = self._variance(branch, output)
        branch_variance, sem = of_branch.value, of_branch.standard_error()
        found = sem if chain is None else chain.found(shortcut_variance, branch_variance)
        _, entering = branch.operands(shortcut, output)
        entering_variance = branch_variance
        if entering is not output:
            entering_variance = self._variance(branch, entering).value
        self.rows[branch] = [shortcut_variance, branch_variance, sem, entering_variance, found]
        self.outputs[branch] = output.dtype, by_token(branch, output).shape
        return scale

    def _after_the_addition(self, branch: ResidualBranch, total: Tensor) -> None:
        self.sums[branch] = self._variance(branch, total).value


def profile_repeatedly(
    model: nn.Module,
    branches: Sequence[ResidualBranch],
    *,
    omega: OmegaSpec,
    admin_stacks: Collection[StackName],
    seed: int,
    make_model: Callable[[int], nn.Module],
    make_batch: Callable[[int, int], Batch],
    find_branches: Callable[[nn.Module], Sequence[ResidualBranch]] = residual_branches,
) -> list[BranchProfile]:
    """`omega.batches` passes through each of `omega.seeds` models, averaged; one pass by default.

    Args:
        model: the one that `seed` made.
        branches: of `model`, in forward order; the profiles returned speak of them.
        make_model: a fresh model on the same device from a seed; asked for seed + 1 and on, one
            at a time.
        make_batch: the batch for a seed and a step, on the same device.
        find_branches: of such a model.

    Raises:
        as `profile` does.
    """

    def passes_of(own_seed: int) -> list[list[BranchProfile]]:
        """A pass for each batch. The profiles speak of `branches` and not of the model's own, so
        that no model but the first outlives its passes."""
        own_model = model if own_seed == seed else make_model(own_seed)
        own_branches = branches if own_seed == seed else find_branches(own_model)
        passes = []
        for step in range(omega.batches):
            found = profile(
                own_model,
                own_branches,
                make_batch(own_seed, step),
                admin_stacks=admin_stacks,
                seed=own_seed,
                step=step,
                omega=omega,
            )
            passes.append(
                [replace(row, branch=branch) for row, branch in zip(found, branches, strict=True)]
            )
        return passes

    return average([passes_of(own_seed) for own_seed in range(seed, seed + omega.seeds)])


def average(passes: Sequence[Sequence[list[BranchProfile]]]) -> list[BranchProfile]:
    """The mean of several passes over the same sub-layers, branch by branch.

    Variances are averaged as they are and omegas by their squares, which are variances too.
    Standard errors come from the spread between the models' means where there are several
    models, because the passes of one model share its weights, else between its batches.

    Args:
        passes: for each model, for each of its batches, the profiles in forward order.
    """
    if len(passes) == len(passes[0]) == 1:
        return passes[0][0]
    return [
        _mean([[of_batch[i] for of_batch in of_model] for of_model in passes])
        for i in range(len(passes[0][0]))
    ]


def _mean(profiles: list[list[BranchProfile]]) -> BranchProfile:
    """One branch's; the branch of the first model stands for all."""

    def of(quantity: Callable[[BranchProfile], float]) -> tuple[float, float]:
        values = torch.tensor(
            [[quantity(profile) for profile in of_model] for of_model in profiles],
            dtype=torch.float64,
        )  # models batches
        groups = values.mean(1) if len(values) > 1 else values[0]
        return float(groups.mean()), float(groups.std()) / len(groups) ** 0.5

    first = profiles[0][0]
    branch_variance, branch_variance_sem = of(lambda profile: profile.branch_variance)
    averaged = replace(
        first,
        shortcut_variance=of(lambda profile: profile.shortcut_variance)[0],
        branch_variance=branch_variance,
        branch_variance_sem=branch_variance_sem,
        sum_variance=of(lambda profile: profile.sum_variance)[0],
        dependency=of(lambda profile: profile.dependency)[0],
    )
    if first.omega is None:
        return averaged
    squared, squared_sem = of(lambda profile: (profile.omega or 0.0) ** 2)
    omega = squared**0.5
    # d omega = d omega^2 / (2 omega)
    return replace(averaged, omega=omega, omega_sem=squared_sem / (2 * omega))


def reported(found: BranchProfile) -> Branch:
    """The row of a report."""
    return Branch(
        index=found.branch.index,
        stack=found.branch.stack,
        path=found.branch.path,
        role=found.branch.role,
        norm_placement=found.branch.norm_placement,
        shortcut_variance=found.shortcut_variance,
        branch_variance=found.branch_variance,
        branch_variance_sem=found.branch_variance_sem,
        omega=found.omega,
        omega_sem=found.omega_sem,
        dependency=found.dependency,
    )


def _checked(
    branch: ResidualBranch,
    dtype: torch.dtype,
    shape: torch.Size,
    shortcut_variance: float,
    branch_variance: float,
    sem: float,
    entering_variance: float,
    omega: float,
    sum_variance: float,
    *,
    takes_omega: bool,
) -> BranchProfile:
    if not 0 < branch_variance < float("inf"):
        if dtype is torch.float16 and branch_variance != 0:
            raise NonFiniteError(f"The residual branch of {branch.path}", "float16")
        raise DegenerateBranchError(branch.path, branch_variance)
    if takes_omega and omega == 0:  # by the convention in which the embedding is a branch
        raise DegenerateBranchError(f"{branch.stack}.embedding", shortcut_variance)
    return BranchProfile(
        branch=branch,
        shortcut_variance=shortcut_variance,
        branch_variance=branch_variance,
        branch_variance_sem=None if sem != sem else sem,
        sum_variance=sum_variance,
        dependency=entering_variance / sum_variance,
        d_model=shape[2],
        num_tokens=shape[0] * shape[1],
        omega=omega if takes_omega else None,
        omega_sem=None,
    )

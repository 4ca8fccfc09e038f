"""Dependency: how much of each state comes from each residual branch.

    xhat_i = sum_{j <= i} beta_ij ahat_j

with the hats for unit deviation, a_0 the embedding and a_j the output of branch j. A state is a sum
of components, one of each branch so far, and every sub-layer carries them on:

    c_ij = N_i(omega_i * c_{i-1,j})   for j < i
    c_ii = N_i(gate_i * f_i) + b_i

where N_i is the norm after the addition with its statistics held, a linear map (`held_norm`); its
shift b_i counts with branch i. The components of a state add up to it exactly, for fresh
and for given weights, so that with Std over tokens and features together

    beta_ij = Std[c_ij] / Std[x_i],   sum_j beta_ij^2 = 1 - covariance_i

where covariance_i is what the components share, sum_{j != k} Cov[c_ij, c_ik] / Var[x_i].

The same from variances alone, as the paper derives it, takes branches for uncorrelated and every
norm's output for its scale: with v_i = Var[gate_i f_i] and n_i the variance after norm i,

    beta_ii^2 = v_i / s_i,   beta_ij^2 = beta_{i-1,j}^2 omega_i^2 n_{i-1} / s_i,
    s_i = omega_i^2 n_{i-1} + v_i

Dropout is off and padding does not count. Source: Liu et al., EMNLP 2020, arXiv:2004.08249.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from admin_core.analysis.held_norm import hold
from admin_core.analysis.tokens import by_token, token_padding
from admin_core.data.batch import Batch
from admin_core.errors import DegenerateBranchError, NonFiniteError, UnavailableError
from admin_core.forward import in_mode, run
from admin_core.report import DependencySection, NormPlacement, StackName
from admin_core.residual import ResidualBranch, at_additions

MAX_ELEMENTS = 2**22
"""Numbers that one stack's components may take (16 MiB); tokens are thinned to fit, which is what
keeps the cost near that of a training step."""

DRIFT = 0.01
"""What a state may be off the sum of its carried components, relative to its size, by rounding."""

MAX_ROWS = 256
"""Depths of a stack that a report shows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dependency:
    """The dependency of one stack; column 0 is the embedding, column j branch j."""

    beta: Float[Tensor, "depth components"]
    """beta_ij, measured by carrying the components; 0 above the diagonal."""

    predicted: Float[Tensor, "depth components"]
    """beta_ij, from the variances alone."""

    covariance: Float[Tensor, " depth"]
    """1 - sum_j beta_ij^2, measured."""

    num_tokens: int
    """Tokens that were carried."""


def dependency(
    model: nn.Module, branches: Sequence[ResidualBranch], batch: Batch
) -> dict[StackName, Dependency]:
    """beta of every stack from one forward pass, with the weights as they are.

    Memory and time are bounded: of a batch whose components do not fit, evenly spaced tokens are
    carried, the same ones every time. The model stays in the mode it was in.

    Raises:
        DegenerateBranchError: a state has no variance.
        NonFiniteError: a state is not finite.
        UnavailableError: components cannot be carried from one sub-layer to the next, or through a
            norm.
    """
    carried: dict[StackName, _Components] = {}

    def carry(branch: ResidualBranch, shortcut: Tensor, output: Tensor) -> None:
        if branch.stack not in carried:
            depth = sum(other.stack == branch.stack for other in branches)
            tokens = by_token(branch, shortcut)
            padding = token_padding(batch.padding(branch.stack), tokens)
            kept = _kept_tokens(tokens, padding, num_components=depth + 1)
            carried[branch.stack] = _Components.of_embedding(tokens, kept, depth)
        carried[branch.stack].pass_through(branch, shortcut, output)

    with in_mode(model, training=False), torch.no_grad(), at_additions(branches, carry):
        run(model, batch, branches)
    return {stack: components.dependency() for stack, components in carried.items()}


def predicted_dependency(
    *,
    embedding_variance: float,
    branch_variances: Sequence[float],
    shortcut_scales: Sequence[float],
    norm_variances: Sequence[float | None],
) -> Float[Tensor, "depth components"]:
    """beta_ij from variances alone; float64, 0 above the diagonal.

    Args:
        embedding_variance: Var[x_0].
        branch_variances: v_i, as the branches enter the additions.
        shortcut_scales: omega_i; the root of the mean square of one per feature.
        norm_variances: n_i, which is 1 for a fresh norm; None where no norm follows the addition.
    """
    depth = len(branch_variances)
    squares = torch.zeros(depth, depth + 1, dtype=torch.float64)
    row = torch.zeros(depth + 1, dtype=torch.float64)
    row[0], state = 1.0, embedding_variance
    for i, (branch, scale, norm) in enumerate(
        zip(branch_variances, shortcut_scales, norm_variances, strict=True)
    ):
        shortcut = scale**2 * state
        row = row * shortcut / (shortcut + branch)
        row[i + 1] = branch / (shortcut + branch)
        squares[i] = row
        state = shortcut + branch if norm is None else norm
    return squares.sqrt()


def dependency_section(found: Dependency) -> DependencySection:
    """The report's form, thinned to MAX_ROWS evenly spaced depths, first and last among them, and
    to their branches."""
    depths = _evenly_spaced(len(found.beta), MAX_ROWS) + 1
    columns = torch.cat([torch.zeros(1, dtype=depths.dtype), depths])

    def matrix(beta: Tensor) -> list[list[float]]:
        return [[_rounded(value) for value in row] for row in beta[depths - 1][:, columns].tolist()]

    return DependencySection(
        depths=depths.tolist(),
        branches=columns.tolist(),
        beta=matrix(found.beta),
        predicted=matrix(found.predicted),
        covariance=[_rounded(value) for value in found.covariance[depths - 1].tolist()],
        num_tokens=found.num_tokens,
    )


@dataclass(slots=True, kw_only=True, eq=False)
class _Components:
    """The components of one stack's state on its way through the sub-layers."""

    kept: Tensor
    """Positions in the flattened batch of the tokens that are carried."""

    shape: torch.Size
    """Of the state: batch, tokens, features."""

    parts: Float[Tensor, "components tokens d_model"]
    """c_ij for the j so far, and room for the others; float32."""

    variances: Float[Tensor, " components"]
    """Var[c_ij]; float64, on the CPU."""

    embedding_variance: float
    squares: list[Tensor] = field(default_factory=list)
    """beta_ij^2 per depth."""

    state: Tensor | None = None
    """x_i as the components add up to it; None before the first sub-layer."""

    last_path: str = ""
    branch_variances: list[float] = field(default_factory=list)
    shortcut_scales: list[float] = field(default_factory=list)
    """omega; of one per feature the root of the mean square."""

    norm_variances: list[float | None] = field(default_factory=list)

    @classmethod
    def of_embedding(cls, x: Tensor, kept: Tensor, depth: int) -> "_Components":
        """x_0 is its own only component."""
        tokens = x.flatten(0, 1)[kept].float()
        parts = tokens.new_zeros(depth + 1, *tokens.shape)
        parts[0] = tokens
        variances = torch.zeros(depth + 1, dtype=torch.float64)
        variances[:1] = _variances(parts[:1])
        return cls(
            kept=kept,
            shape=x.shape,
            parts=parts,
            variances=variances,
            embedding_variance=float(variances[0]),
        )

    def pass_through(self, branch: ResidualBranch, shortcut: Tensor, output: Tensor) -> None:
        """Carry all components through one sub-layer, to which its branch adds one."""
        i = len(self.squares) + 1
        tokens = by_token(branch, shortcut)
        if tokens.shape != self.shape:
            raise self._broken_off(branch)
        if self.state is not None and not _close(self._kept_of(branch, shortcut), self.state):
            raise self._broken_off(branch)
        scaled, entering = (
            self._kept_of(branch, operand) for operand in branch.operands(shortcut, output)
        )
        ones = torch.ones_like(shortcut)
        scaled_ones, _ = branch.operands(ones, ones)
        is_scaled = scaled_ones is not ones
        post_norm = branch.post_norm if branch.norm_placement is NormPlacement.POST else None
        norm = hold(post_norm, scaled + entering)

        moved = is_scaled or norm.gain is not None
        if is_scaled:
            scale = self._kept_of(branch, scaled_ones)
            self.parts[:i] *= scale
            self.shortcut_scales.append(float(scale.square().mean().sqrt()))
        else:
            self.shortcut_scales.append(1.0)
        self.parts[i] = entering
        self.branch_variances += _variances(self.parts[i : i + 1]).tolist()
        self.norm_variances.append(norm.variance)
        norm.carry_(self.parts[: i + 1])
        self.parts[i] += norm.shift

        first = 0 if moved else i  # what was neither scaled nor divided is what it was
        self.variances[first : i + 1] = _variances(self.parts[first : i + 1])
        state = self.parts[: i + 1].sum(0, keepdim=True)
        total = float(_variances(state))
        if total == 0:
            raise DegenerateBranchError(branch.path, total)
        if not total < float("inf"):
            raise NonFiniteError(f"The state after {branch.path}", "float32")
        self.squares.append(self.variances / total)
        self.state, self.last_path = state[0], branch.path

    def _kept_of(self, branch: ResidualBranch, x: Tensor) -> Float[Tensor, "tokens d_model"]:
        return by_token(branch, x).flatten(0, 1)[self.kept].float()

    def _broken_off(self, branch: ResidualBranch) -> UnavailableError:
        return UnavailableError(
            f"The state after {self.last_path} is not what {branch.path} is added to: between them "
            "something changes it that is no sub-layer, through which components cannot be carried."
        )

    def dependency(self) -> Dependency:
        squares = torch.stack(self.squares)
        return Dependency(
            beta=squares.sqrt(),
            predicted=predicted_dependency(
                embedding_variance=self.embedding_variance,
                branch_variances=self.branch_variances,
                shortcut_scales=self.shortcut_scales,
                norm_variances=self.norm_variances,
            ),
            covariance=1 - squares.sum(1),
            num_tokens=len(self.kept),
        )


def _close(x: Float[Tensor, "tokens d_model"], state: Float[Tensor, "tokens d_model"]) -> bool:
    return bool((x - state).norm() <= DRIFT * x.norm())


def _variances(parts: Float[Tensor, "components tokens d_model"]) -> Float[Tensor, " components"]:
    """Population variance of each component over tokens and features together."""
    # Tensor.var says the same and takes ten times as long.
    centred = parts - parts.mean(dim=(1, 2), keepdim=True)
    deviations = torch.linalg.vector_norm(centred, dim=2).double()  # components tokens
    variances: Tensor = deviations.square().sum(1).cpu() / parts[0].numel()
    return variances


def _kept_tokens(
    x: Float[Tensor, "batch seq d_model"],
    padding: Bool[Tensor, "batch seq"] | None,
    *,
    num_components: int,
) -> Int[Tensor, " tokens"]:
    """Positions in the flattened batch of evenly spaced tokens, as many as fit."""
    batch, seq, d_model = x.shape
    if padding is None:
        positions = torch.arange(batch * seq)
    else:
        positions = padding.logical_not().flatten().nonzero()[:, 0].cpu()
    fitting = max(1, MAX_ELEMENTS // (num_components * d_model))
    return positions[_evenly_spaced(len(positions), fitting)].to(x.device)


def _evenly_spaced(count: int, at_most: int) -> Int[Tensor, " kept"]:
    """Indices below `count`, all of them or `at_most` from the first to the last."""
    if count <= at_most:
        return torch.arange(count)
    return torch.linspace(0, count - 1, at_most, dtype=torch.float64).round().long()


def _rounded(value: float) -> float:
    """To float32's digits, which keeps a report of many numbers short."""
    return float(f"{value:.7g}")

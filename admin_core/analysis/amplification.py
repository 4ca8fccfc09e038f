"""Output change: how far the states move when the parameters move a little.

Notation:
    W, W*     parameters before and after the step delta, W* = W + delta
    x_i       state after sub-layer i; xhat_i the same with unit standard deviation per token
    D_i       output change at depth i, mean over tokens of |xhat_i(W) - xhat_i(W*)|^2
    beta_ii   dependency of sub-layer i on its own branch

Theory (Theorem 2 of the paper): D_N ~ C * sum_{i <= N} beta_ii^2, hence O(N) for Post-LN and
O(log N) for Pre-LN and Admin. The state at depth i of a fresh N-layer stack is an i-layer stack's
output, so that one pair of passes gives D at every depth.

Dropout is off in both passes. Source: Liu et al., EMNLP 2020, arXiv:2004.08249.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from admin_core.data.batch import Batch
from admin_core.errors import NonFiniteError
from admin_core.models.transformer import Transformer
from admin_core.report import Law, OutputChange
from admin_core.residual import ResidualBranch, at_states
from admin_core.seeds import ambient, stream
from admin_core.spec import Stack, TrainingSpec
from admin_core.training.loss import batch_loss
from admin_core.training.optimizers import make_optimizer

RANDOM_STEP = 1e-4
"""Size of the random step on every weight, as in the paper's code."""

LINEAR_FROM = 0.9
LOGARITHMIC_TO = 0.6
"""Log-log slopes from which, and up to which, growth is called O(N) and O(log N)."""


@dataclass(frozen=True, slots=True)
class States:
    """One pass through a model, dropout off."""

    after: list[Float[Tensor, "batch seq d_model"]]
    """xhat_i per branch, in forward order."""

    memory: Float[Tensor, "batch source d_model"] | None
    """The encoder's output, where a decoder attends to it."""


def unit_deviation(x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
    """xhat: each token over its standard deviation, its mean left in place, as in the paper's
    code."""
    x = x.float()
    return x / x.std(dim=-1, keepdim=True)


@torch.no_grad()
def states(
    model: Transformer,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    *,
    memory: Tensor | None = None,
) -> States:
    """The state after every sub-layer; the decoder attends to `memory` where one is given."""
    after: list[Tensor] = []
    model.eval()
    with at_states(branches, lambda _, state: after.append(unit_deviation(state))):
        encoded = model.encode(batch.inputs.get("source"))
        model.decode(batch.inputs.get("target"), encoded if memory is None else memory)
    return States(after, encoded)


@contextmanager
def unchanged_after(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Restore the parameters, bit for bit, at the end of the block."""
    saved = [parameter.detach().clone() for parameter in parameters]
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, before in zip(parameters, saved, strict=True):
                parameter.copy_(before)


def random_output_change(
    model: Transformer,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    before: States,
    *,
    draws: int,
    seed: int,
) -> dict[Stack, OutputChange]:
    """D_i under a step of RANDOM_STEP with a random sign on every weight matrix of the residual
    branches.

    Each stack is perturbed on its own: the decoder attends to the unperturbed memory.

    Args:
        before: the states of the unperturbed model on `batch`.
        draws: independent steps to average over.
        seed: of the signs.
    """
    weights = {
        f"{branch.path}.{name}": parameter
        for branch in branches
        for name, parameter in branch.sublayer.branch.named_parameters()
        if parameter.ndim >= 2
    }
    changes = []
    for draw in range(draws):
        with unchanged_after(list(weights.values())):
            for path, weight in weights.items():
                _take_random_step(weight, stream(seed, f"perturbation.{draw}.{path}"))
            after = states(model, branches, batch, memory=before.memory)
        changes.append(output_change(before, after))
    return _per_stack(branches, torch.stack(changes))


@torch.no_grad()
def _take_random_step(weight: nn.Parameter, generator: torch.Generator) -> None:
    bits = torch.randint(0, 2, weight.shape, generator=generator, dtype=torch.int8)
    weight.add_((2 * bits - 1).to(weight), alpha=RANDOM_STEP)


def update_output_change(
    model: Transformer,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    before: States,
    training: TrainingSpec,
    *,
    seed: int,
) -> dict[Stack, OutputChange]:
    """D_i under one real step of the optimizer at the peak learning rate, on the whole model, with
    the gradient of the batch in training mode.

    Args:
        before: the states of the model on `batch` before the step.
        seed: of dropout.

    Raises:
        NonFiniteError: the loss is not finite.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with unchanged_after(parameters):
        optimizer = make_optimizer(model, training)
        model.train()
        with ambient(seed, "update", parameters[0].device):
            loss = batch_loss(model, batch)
        if not torch.isfinite(loss):
            raise NonFiniteError("The training loss", str(loss.dtype).removeprefix("torch."))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        after = states(model, branches, batch)
    return _per_stack(branches, output_change(before, after).unsqueeze(0))


def output_change(before: States, after: States) -> Float[Tensor, " depth"]:
    """D_i at the state after each branch, in forward order."""
    pairs = zip(before.after, after.after, strict=True)
    return torch.stack([(x - moved).square().sum(-1).mean() for x, moved in pairs])


def _per_stack(
    branches: Sequence[ResidualBranch], changes: Float[Tensor, "draws depth"]
) -> dict[Stack, OutputChange]:
    found = {}
    for stack in dict.fromkeys(branch.stack for branch in branches):
        rows = [row for row, branch in enumerate(branches) if branch.stack is stack]
        depths = [branches[row].index for row in rows]
        of_stack = changes[:, rows].double().cpu()
        mean = of_stack.mean(0)
        if not torch.isfinite(mean).all():
            first = branches[rows[int(torch.isfinite(mean).logical_not().nonzero()[0])]]
            raise NonFiniteError(f"The output change at {first.path}", "float32")
        standard_error = of_stack.std(0) / len(of_stack) ** 0.5 if len(of_stack) > 1 else None
        slope = log_log_slope(depths, mean.tolist())
        found[stack] = OutputChange(
            depths=depths,
            output_change=mean.tolist(),
            standard_error=None if standard_error is None else standard_error.tolist(),
            slope=slope,
            law=None if slope is None else law_of(slope),
        )
    return found


def log_log_slope(depths: Sequence[int], output_change: Sequence[float]) -> float | None:
    """Slope of log D_i over log i by least squares, from the second sub-layer on.

    The first is left out: a lone attention over an embedding averages unrelated tokens, so that
    its branch, and with it D_1, is far smaller than all that follow. None below four depths, or
    where nothing moved.
    """
    points = [
        (math.log(i), math.log(change))
        for i, change in zip(depths, output_change, strict=True)
        if i >= 2 and change > 0
    ]
    if len(points) < 3:
        return None
    x, y = torch.tensor(points, dtype=torch.float64).T
    x = x - x.mean()
    return float((x * y).sum() / x.square().sum())


def law_of(slope: float) -> Law:
    """The growth that a log-log slope stands for."""
    if slope >= LINEAR_FROM:
        return Law.LINEAR
    return Law.LOGARITHMIC if slope <= LOGARITHMIC_TO else Law.BETWEEN

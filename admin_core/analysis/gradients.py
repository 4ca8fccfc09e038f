"""Gradients and the updates that optimizers make of them, from one backward pass.

Notation:
    x_i       state after sub-layer i
    L         training loss, mean over the batch's targets
    W, W*     a weight before and after one optimizer step
    |.|       Euclidean norm over all elements, in float64

For each sub-layer |dL/dx_i|, relative to the largest of its stack: the paper's picture of a
gradient that vanishes (its Theorem 1 and Table 1). For each weight matrix |dL/dW|, and |W* - W|
under one real step from a fresh optimizer state at the peak learning rate. Adam divides each
gradient by its own size, so that its updates are even where the gradients are not; the histograms
show both distributions.

Source: Liu et al., EMNLP 2020, arXiv:2004.08249, section 3.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from admin_core.analysis.training_pass import TrainingPass, norm
from admin_core.report import (
    BranchGradient,
    GradientHistograms,
    GradientsSection,
    Histogram,
    StackName,
    WeightGradient,
)
from admin_core.residual import ResidualBranch
from admin_core.spec import Optimizer, TrainingSpec
from admin_core.training.optimizers import make_optimizer

COMPARED = (Optimizer.SGD, Optimizer.ADAM, Optimizer.ADAMW, Optimizer.RADAM)
"""Optimizers that the update ratio is measured under, beside the spec's own."""

HISTOGRAM_EDGES = tuple(2.0**exponent for exponent in range(-40, 1))
"""Edges of the bins of relative norms: forty factors of two, from 1e-12 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _WeightNorms:
    """What was measured of one weight matrix; None where it has no gradient, takes no step, or
    the norm is not finite."""

    path: str
    stack: StackName | None
    weight: float | None
    gradient: float | None
    updates: Mapping[Optimizer, float | None]


def gradients(
    model: nn.Module,
    branches: Sequence[ResidualBranch],
    passed: TrainingPass,
    training: TrainingSpec,
) -> GradientsSection:
    """Gradient norms, update ratios and their histograms, while the parameters hold the
    gradients of `passed`. The model is only read.

    Args:
        branches: of the model, in forward order, as in the pass.
        training: the optimizer to take a step of, and its settings, which the other optimizers
            share.
    """
    stack_of = {weight: branch.stack for branch in branches for weight in _own_weights(branch)}
    norms = {
        weight: _measure(path, weight, stack_of.get(weight), training)
        for path, weight in weight_matrices(model).items()
    }
    weights = _weight_gradients(list(norms.values()), training.optimizer)
    return GradientsSection(
        loss=passed.loss,
        branches=_branch_gradients(branches, passed, norms, training.optimizer),
        weights=weights,
        histograms={
            stack: GradientHistograms(
                gradient=histogram(w.relative_gradient_norm for w in weights if w.stack == stack),
                update=histogram(w.relative_update_norm for w in weights if w.stack == stack),
            )
            for stack in dict.fromkeys(branch.stack for branch in branches)
        },
    )


def weight_matrices(model: nn.Module) -> dict[str, nn.Parameter]:
    """Every weight matrix by its path; a tied one once, under its first path.

    Norms, biases and omegas are left out: they start at 0 or 1, whatever the initialisation, and
    relative to 0 any step is infinite.
    """
    return {path: weight for path, weight in model.named_parameters() if weight.ndim >= 2}


def first_step(weight: nn.Parameter, training: TrainingSpec) -> Tensor:
    """W* - W for one real step of the optimizer from a fresh state at the peak learning rate,
    in float32; zero where the weight has no gradient.

    The step is taken on a copy. Every optimizer here treats each element on its own, so that one
    weight at a time makes the same step as all of them together.
    """
    copy = nn.Parameter(weight.detach().clone())
    if weight.grad is not None:
        copy.grad = weight.grad
        make_optimizer(nn.ParameterList([copy]), training).step()
    return copy.detach().float() - weight.detach().float()


def _own_weights(branch: ResidualBranch) -> list[nn.Parameter]:
    return [weight for weight in branch.parameters.values() if weight.ndim >= 2]


def _measure(
    path: str, weight: nn.Parameter, stack: StackName | None, training: TrainingSpec
) -> _WeightNorms:
    updates: dict[Optimizer, float | None] = dict.fromkeys((*COMPARED, training.optimizer))
    if weight.requires_grad:
        for optimizer in updates:
            step = first_step(weight, training.model_copy(update={"optimizer": optimizer}))
            updates[optimizer] = _finite(norm(step))
    return _WeightNorms(
        path=path,
        stack=stack,
        weight=_finite(norm(weight.detach())),
        gradient=None if weight.grad is None else _finite(norm(weight.grad)),
        updates=updates,
    )


def _branch_gradients(
    branches: Sequence[ResidualBranch],
    passed: TrainingPass,
    norms: Mapping[nn.Parameter, _WeightNorms],
    optimizer: Optimizer,
) -> list[BranchGradient]:
    of_states = [None if n is None else _finite(n) for n in passed.state_gradient_norms]
    relative = _relative_to_stack(of_states, [branch.stack for branch in branches])
    found = []
    for branch, of_state, share in zip(branches, of_states, relative, strict=True):
        own = [norms[w] for w in _own_weights(branch) if w.requires_grad]
        size = _joint([n.weight for n in own])
        ratios = {
            o: _ratio(_joint([n.updates[o] for n in own]), size) for o in (*COMPARED, optimizer)
        }
        found.append(
            BranchGradient(
                index=branch.index,
                stack=branch.stack,
                path=branch.path,
                gradient_norm=of_state,
                relative_gradient_norm=share,
                update_ratio=ratios[optimizer],
                update_ratios=ratios,
            )
        )
    return found


def _weight_gradients(norms: Sequence[_WeightNorms], optimizer: Optimizer) -> list[WeightGradient]:
    stacks = [n.stack for n in norms]
    relative = _relative_to_stack([n.gradient for n in norms], stacks)
    relative_updates = _relative_to_stack([n.updates[optimizer] for n in norms], stacks)
    return [
        WeightGradient(
            path=n.path,
            stack=n.stack,
            gradient_norm=n.gradient,
            relative_gradient_norm=of_gradient,
            update_norm=n.updates[optimizer],
            relative_update_norm=of_update,
            update_ratio=_ratio(n.updates[optimizer], n.weight),
        )
        for n, of_gradient, of_update in zip(norms, relative, relative_updates, strict=True)
    ]


def histogram(relative_norms: Iterable[float | None]) -> Histogram:
    """How many relative norms lie between each pair of `HISTOGRAM_EDGES`, the upper one
    excluded, but 1 itself in the last bin; None counts nowhere."""
    counts = [0] * (len(HISTOGRAM_EDGES) - 1)
    below = 0
    for value in relative_norms:
        if value is None:
            continue
        position = bisect_right(HISTOGRAM_EDGES, value) - 1
        if position < 0:
            below += 1
        else:
            counts[min(position, len(counts) - 1)] += 1
    return Histogram(edges=list(HISTOGRAM_EDGES), counts=counts, below=below)


def _relative_to_stack(
    norms: Sequence[float | None], stacks: Sequence[StackName | None]
) -> list[float | None]:
    """Each norm over the largest of its stack; None outside the stacks, or where all are zero."""
    largest: dict[StackName | None, float] = {}
    for size, stack in zip(norms, stacks, strict=True):
        if size is not None and stack is not None:
            largest[stack] = max(size, largest.get(stack, 0.0))
    return [_ratio(size, largest.get(stack)) for size, stack in zip(norms, stacks, strict=True)]


def _joint(norms: Sequence[float | None]) -> float | None:
    """The norm of several tensors together."""
    known = [size for size in norms if size is not None]
    return math.hypot(*known) if known and len(known) == len(norms) else None


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else _finite(part / whole)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

"""One forward and one backward pass in training mode, which all gradient measurements share.

While the context is open, every parameter holds its gradient: norms, update ratios, rules and an
optimizer step can all be read from the one pass. Afterwards the parameters hold what they held
before, and the model is left in training mode.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from admin_core.data.batch import Batch
from admin_core.errors import NonFiniteError
from admin_core.residual import ResidualBranch, at_states
from admin_core.seeds import ambient
from admin_core.training.loss import batch_loss


@dataclass(frozen=True, slots=True)
class TrainingPass:
    """What one pass left behind, beside the parameters' gradients."""

    loss: float
    """Mean cross-entropy over the batch's targets, in nats."""

    state_gradient_norms: list[float | None]
    """|dL/dx_i| over the whole batch, per branch; None where no gradient arrives."""


def norm(x: Tensor) -> float:
    """The Euclidean norm of all elements; infinite or NaN where one of them is."""
    size = float(torch.linalg.vector_norm(x, dtype=torch.float32))
    if 1e-12 < size < 1e18:
        return size
    # Squares of gradients that vanish, or explode, over a hundred layers leave float32's range.
    return float(torch.linalg.vector_norm(x, dtype=torch.float64))


@contextmanager
def training_pass(
    model: nn.Module,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    *,
    seed: int,
    watch: Sequence[AbstractContextManager[None]] = (),
) -> Iterator[TrainingPass]:
    """Run the passes, dropout on, and keep the gradients for the length of the block.

    Args:
        model: any network that `batch` can be put through; frozen parameters get no gradient.
        branches: of the model, in forward order.
        batch: what the loss is taken on.
        seed: of dropout.
        watch: hooks that are to be in place during the two passes, and only then.

    Raises:
        NonFiniteError: the loss is not finite; names the first state that was not.
    """
    parameters = list(model.parameters())
    held = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    try:
        yield _run(model, branches, batch, seed=seed, watch=watch)
    finally:
        for parameter, gradient in zip(parameters, held, strict=True):
            parameter.grad = gradient


def _run(
    model: nn.Module,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    *,
    seed: int,
    watch: Sequence[AbstractContextManager[None]],
) -> TrainingPass:
    finite: list[tuple[ResidualBranch, Tensor]] = []
    norms: dict[ResidualBranch, float] = {}

    def see(branch: ResidualBranch, state: Tensor) -> None:
        finite.append((branch, torch.isfinite(state.detach()).all()))
        if state.requires_grad:
            state.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: norms.update({branch: norm(gradient)})
            )

    model.train()
    device = batch.device
    with ExitStack() as hooks:
        for watching in watch:
            hooks.enter_context(watching)
        hooks.enter_context(at_states(branches, see))
        with ambient(seed, "update", device):
            loss = batch_loss(model, batch)
        if not torch.isfinite(loss):
            raise _non_finite(finite, loss)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
    return TrainingPass(
        loss=loss.item(),
        state_gradient_norms=[norms.get(branch) for branch in branches],
    )


def _non_finite(finite: Sequence[tuple[ResidualBranch, Tensor]], loss: Tensor) -> NonFiniteError:
    for branch, is_finite in finite:
        if not is_finite:
            return NonFiniteError(f"The state after {branch.path}", _name(branch.dtype))
    return NonFiniteError("The training loss", _name(loss.dtype))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

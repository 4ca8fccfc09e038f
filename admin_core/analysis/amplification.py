"""Output change: how far the states move when the parameters move a little.

Notation:
    W, W*     parameters before and after the step delta, W* = W + delta
    x_i       state after sub-layer i; xhat_i the same with unit standard deviation per token
    D_i       output change at depth i, mean over tokens of |xhat_i(W) - xhat_i(W*)|^2
    beta_ii   dependency of sub-layer i on its own branch

Theory (Theorem 2 of the paper): for a delta that is independent of W,
D_N ~ C * sum_{i <= N} beta_ii^2, hence O(N) for Post-LN and O(log N) for Pre-LN and Admin. The
state at depth i of a fresh N-layer stack is an i-layer stack's output, so that one pair of passes
gives D at every depth.

Dropout is off in all passes and padding does not count as tokens. The model leaves each function
in the mode it was in, its parameters the same bit for bit.
Source: Liu et al., EMNLP 2020, arXiv:2004.08249.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from admin_core.analysis.growth import growth, proportionality
from admin_core.data.batch import Batch
from admin_core.errors import NonFiniteError
from admin_core.models.transformer import Transformer
from admin_core.report import AmplificationSection, OutputChange
from admin_core.residual import ResidualBranch, at_additions, at_states
from admin_core.seeds import stream
from admin_core.spec import AmplificationSpec, Perturbation, RandomStep, Stack, TrainingSpec
from admin_core.training.optimizers import make_optimizer

RANDOM_STEP = 1e-4
"""Root mean square of the random step on every weight, as in the paper's code."""

GRADIENT_STEP = 1e-6
"""Size of the step along the gradient's sign, as in the paper's code. All weights then pull the
same way, and a step of RANDOM_STEP would no longer be small."""


@dataclass(frozen=True, slots=True)
class States:
    """One pass through the unperturbed model."""

    after: list[Float[Tensor, "_ d_model"]]
    """xhat_i per branch, in forward order; stacks may differ in their number of tokens."""

    dependency: list[float]
    """beta_ii^2 = Var[f_i] / Var[x_{i-1} + f_i] per branch, both as they are added; what the theory
    predicts D from."""

    memory: Float[Tensor, "batch source d_model"] | None
    """The encoder's output, where a decoder attends to it."""


def unit_deviation(x: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "tokens d_model"]:
    """xhat: each token over its standard deviation, its mean left in place, as in the paper's
    code; in float32 where x is in a smaller format."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return x / x.std(dim=-1, keepdim=True)


def amplify(
    model: Transformer,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    spec: AmplificationSpec,
    training: TrainingSpec,
    *,
    seed: int,
) -> AmplificationSection:
    """The output change under every step that the spec asks for.

    Args:
        model: its parameters hold their gradients, as within `training_pass`.
        batch: the tokens that the states are compared on.
        training: of the optimizer's step.
        seed: of the random steps.

    Raises:
        NonFiniteError: a state is not finite, before or after a step.
    """
    before = states(model, branches, batch)

    def random(step: RandomStep) -> dict[Stack, OutputChange]:
        return random_output_change(
            model, branches, batch, before, draws=spec.draws, seed=seed, step=step
        )

    gaussian = Perturbation.GAUSSIAN in spec.also
    gradient = Perturbation.GRADIENT in spec.also
    return AmplificationSection(
        random=random(RandomStep.SIGN),
        random_step=RANDOM_STEP,
        draws=spec.draws,
        gaussian=random(RandomStep.GAUSSIAN) if gaussian else None,
        gradient=gradient_output_change(model, branches, batch, before) if gradient else None,
        gradient_step=GRADIENT_STEP,
        update=update_output_change(model, branches, batch, before, training),
    )


def states(model: Transformer, branches: Sequence[ResidualBranch], batch: Batch) -> States:
    """The states that a perturbation's are held against.

    Raises:
        NonFiniteError: a state is not finite; names the first one.
    """
    after: list[Tensor] = []
    shares: list[Tensor] = []

    def measure(branch: ResidualBranch, shortcut: Tensor, output: Tensor) -> None:
        shortcut, output = branch.sublayer.add.operands(shortcut, output)
        total = (shortcut + output).float()
        shares.append(output.float().var(correction=0) / total.var(correction=0))

    with at_additions(branches, measure):
        memory = _run(model, branches, batch, see=lambda _, x: after.append(x))
    dependency = torch.stack(shares).tolist()
    for branch, x, share in zip(branches, after, dependency, strict=True):
        if not (torch.isfinite(x).all() and share == share):
            dtype = next(branch.sublayer.parameters()).dtype
            raise NonFiniteError(f"The state after {branch.path}", str(dtype).split(".")[1])
    return States(after, dependency, memory)


def random_output_change(
    model: Transformer,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    before: States,
    *,
    draws: int,
    seed: int,
    step: RandomStep = RandomStep.SIGN,
) -> dict[Stack, OutputChange]:
    """D_i under a random step on every weight matrix of the residual branches: RANDOM_STEP times a
    random sign, or times a standard Gaussian.

    Each stack is perturbed on its own: the decoder attends to the unperturbed memory.

    Args:
        before: the states of the unperturbed model on `batch`.
        draws: independent steps to average over.
        seed: of the steps.

    Raises:
        NonFiniteError: a perturbed state is not finite.
    """
    weights = _branch_matrices(branches)

    def take_steps(draw: int) -> None:
        for path, weight in weights.items():
            generator = stream(seed, f"perturbation.{draw}.{path}")
            weight.add_(_random_direction(step, weight, generator), alpha=RANDOM_STEP)

    changes = []
    for draw in range(draws):
        with unchanged_after(list(weights.values())), torch.no_grad():
            take_steps(draw)
            changes.append(_output_change(model, branches, batch, before, hold_memory=True))
    return _per_stack(branches, before, torch.stack(changes))


def gradient_output_change(
    model: Transformer, branches: Sequence[ResidualBranch], batch: Batch, before: States
) -> dict[Stack, OutputChange]:
    """D_i under a step of GRADIENT_STEP against the sign of the gradient on every weight matrix of
    the residual branches; a weight without a gradient stays where it is.

    Each stack is perturbed on its own, as by the random step.

    Args:
        model: its parameters hold their gradients, as within `training_pass`.
        before: the states of the unperturbed model on `batch`.

    Raises:
        NonFiniteError: a perturbed state is not finite.
    """
    weights = _branch_matrices(branches)
    with unchanged_after(list(weights.values())), torch.no_grad():
        for weight in weights.values():
            if weight.grad is not None:
                weight.add_(weight.grad.sign(), alpha=-GRADIENT_STEP)
        change = _output_change(model, branches, batch, before, hold_memory=True)
    return _per_stack(branches, before, change.unsqueeze(0))


def update_output_change(
    model: Transformer,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    before: States,
    training: TrainingSpec,
) -> dict[Stack, OutputChange]:
    """D_i under one real step of the optimizer at the peak learning rate, on the whole model: its
    embeddings, and the memory that the decoder attends to, move as well.

    Args:
        model: its parameters hold their gradients, as within `training_pass`.
        before: the states of the model on `batch` before the step.

    Raises:
        NonFiniteError: a state after the step is not finite.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with unchanged_after(parameters):
        make_optimizer(model, training).step()
        change = _output_change(model, branches, batch, before, hold_memory=False)
    return _per_stack(branches, before, change.unsqueeze(0))


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


def _branch_matrices(branches: Sequence[ResidualBranch]) -> dict[str, nn.Parameter]:
    return {
        f"{branch.path}.{name}": parameter
        for branch in branches
        for name, parameter in branch.sublayer.branch.named_parameters()
        if parameter.ndim >= 2
    }


def _random_direction(step: RandomStep, like: Tensor, generator: torch.Generator) -> Tensor:
    # On the CPU, where a seed means the same numbers whatever the device.
    if step is RandomStep.GAUSSIAN:
        return torch.randn(like.shape, generator=generator).to(like)
    bits = torch.randint(0, 2, like.shape, generator=generator, dtype=torch.int8)
    return (2 * bits - 1).to(like)


def _output_change(
    model: Transformer,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    before: States,
    *,
    hold_memory: bool,
) -> Float[Tensor, " depth"]:
    """D_i at the state after each branch of the model as it is now."""
    changes: list[Tensor] = []

    def compare(_: ResidualBranch, moved: Tensor) -> None:
        changes.append((before.after[len(changes)] - moved).square().sum(-1).mean())

    _run(model, branches, batch, see=compare, memory=before.memory if hold_memory else None)
    return torch.stack(changes)


@torch.no_grad()
def _run(
    model: Transformer,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    *,
    see: Callable[[ResidualBranch, Tensor], None],
    memory: Tensor | None = None,
) -> Tensor | None:
    """One pass with dropout off, which calls see(branch, xhat_i) at each state; the decoder attends
    to `memory` where one is given. Returns the encoder's output."""
    paddings = {
        Stack.ENCODER: batch.inputs.get("source_padding"),
        Stack.DECODER: batch.inputs.get("target_padding"),
    }

    def at_state(branch: ResidualBranch, state: Tensor) -> None:
        see(branch, unit_deviation(_tokens(state, paddings[branch.stack])))

    was_training = model.training
    model.eval()
    try:
        with at_states(branches, at_state):
            source_padding = paddings[Stack.ENCODER]
            encoded = model.encode(batch.inputs.get("source"), source_padding=source_padding)
            attended = encoded if memory is None else memory
            model.decode(batch.inputs.get("target"), attended, source_padding=source_padding)
    finally:
        model.train(was_training)
    return encoded


def _tokens(
    x: Float[Tensor, "batch seq d_model"], padding: Bool[Tensor, "batch seq"] | None
) -> Float[Tensor, "tokens d_model"]:
    return x.flatten(0, 1) if padding is None else x[padding.logical_not()]


def _per_stack(
    branches: Sequence[ResidualBranch], before: States, changes: Float[Tensor, "draws depth"]
) -> dict[Stack, OutputChange]:
    found = {}
    for stack in dict.fromkeys(branch.stack for branch in branches):
        rows = [row for row, branch in enumerate(branches) if branch.stack is stack]
        of_stack = changes[:, rows].double().cpu()
        finite = torch.isfinite(of_stack).all(0)
        if not finite.all():
            first = branches[rows[int(finite.logical_not().nonzero()[0])]]
            dtype = next(first.sublayer.parameters()).dtype
            raise NonFiniteError(f"The output change at {first.path}", str(dtype).split(".")[1])
        theory = list(accumulate(before.dependency[row] for row in rows))
        found[stack] = _summary([branches[row].index for row in rows], of_stack, theory)
    return found


def _summary(
    depths: list[int], changes: Float[Tensor, "draws depth"], theory: Sequence[float]
) -> OutputChange:
    mean = changes.mean(0).tolist()
    fitted = growth(depths, mean)
    predicted = growth(depths, theory)
    constant = proportionality(depths, mean, theory)
    standard_error = None
    if len(changes) > 1:
        standard_error = (changes.std(0) / len(changes) ** 0.5).tolist()
    return OutputChange(
        depths=depths,
        output_change=mean,
        standard_error=standard_error,
        slope=fitted and fitted.slope,
        slope_interval=fitted and fitted.interval,
        law=fitted and fitted.law,
        predicted=None if constant is None else [constant * expected for expected in theory],
        predicted_constant=constant,
        predicted_slope=predicted and predicted.slope,
    )

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

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from admin_core.analysis.growth import growth, proportionality
from admin_core.analysis.tokens import by_token, token_padding
from admin_core.blocks import Drawing, draw_in_blocks
from admin_core.data.batch import Batch
from admin_core.errors import NonFiniteError
from admin_core.forward import check_seen, in_mode, run
from admin_core.report import AmplificationSection, OutputChange, StackName
from admin_core.residual import ResidualBranch, at_additions, at_states
from admin_core.spec import AmplificationSpec, Perturbation, RandomStep, TrainingSpec
from admin_core.training.optimizers import make_optimizer

RANDOM_STEP = 1e-4
"""Root mean square of the random step on every weight, as in the paper's code."""

GRADIENT_STEP = 1e-6
"""Size of the step along the gradient's sign, as in the paper's code. All weights then pull the
same way, and a step of RANDOM_STEP would no longer be small."""


Memory = Mapping[nn.Module, Any]
"""What modules gave in one pass."""


@dataclass(frozen=True, slots=True)
class States:
    """One pass through the unperturbed model."""

    after: Mapping[ResidualBranch, Float[Tensor, "_ d_model"]]
    """xhat_i by branch; stacks may differ in their number of tokens."""

    dependency: list[float]
    """beta_ii^2 = Var[f_i] / Var[x_{i-1} + f_i] per branch, both as they are added; what the theory
    predicts D from."""

    memory: Memory
    """What each stack but the last hands on, as an encoder's output to the decoder."""


def unit_deviation(x: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "tokens d_model"]:
    """xhat: each token over its standard deviation, its mean left in place, as in the paper's
    code; in float32 where x is in a smaller format."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return x / x.std(dim=-1, keepdim=True)


def compared(branch: ResidualBranch, state: Tensor, batch: Batch) -> Float[Tensor, "_ d_model"]:
    """xhat_i of the tokens that count, of the state after a branch."""
    tokens = by_token(branch, state)
    padding = token_padding(batch.padding(branch.stack), tokens)
    return unit_deviation(
        tokens.flatten(0, 1) if padding is None else tokens[padding.logical_not()]
    )


def output_change(
    before: Float[Tensor, "_ d_model"], moved: Float[Tensor, "_ d_model"]
) -> Float[Tensor, ""]:
    """D_i from xhat_i before and after a step."""
    return (before - moved).square().sum(-1).mean()


def share_of_sum(branch: ResidualBranch, shortcut: Tensor, output: Tensor) -> Float[Tensor, ""]:
    """beta_ii^2 = Var[f_i] / Var[x_{i-1} + f_i], both as they are added."""
    shortcut, output = branch.operands(shortcut, output)
    total = (shortcut + output).float()
    return output.float().var(correction=0) / total.var(correction=0)


def check_state(branch: ResidualBranch, x: Tensor, share: float) -> None:
    """Return if the state after a branch is finite in an unperturbed model.

    Raises:
        NonFiniteError: it is not.
    """
    if not (torch.isfinite(x).all() and share == share):
        raise NonFiniteError(f"The state after {branch.path}", _name(branch.dtype))


def amplify(
    model: nn.Module,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    spec: AmplificationSpec,
    training: TrainingSpec | None,
    *,
    seed: int,
) -> AmplificationSection:
    """The output change under every step that the spec asks for.

    Args:
        model: its parameters hold their gradients, as within `training_pass`.
        batch: the tokens that the states are compared on.
        training: of the optimizer's step; None where there are no gradients to take one along.
        seed: of the random steps.

    Raises:
        NonFiniteError: a state is not finite, before or after a step.
    """
    before = states(model, branches, batch)

    def random(step: RandomStep) -> dict[StackName, OutputChange]:
        return random_output_change(
            model, branches, batch, before, draws=spec.draws, seed=seed, step=step
        )

    gaussian = Perturbation.GAUSSIAN in spec.also
    gradient = Perturbation.GRADIENT in spec.also and training is not None
    update: dict[StackName, OutputChange] = {}
    if training is not None:
        update = update_output_change(model, branches, batch, before, training)
    return AmplificationSection(
        random=random(RandomStep.SIGN),
        random_step=RANDOM_STEP,
        draws=spec.draws,
        gaussian=random(RandomStep.GAUSSIAN) if gaussian else None,
        gradient=gradient_output_change(model, branches, batch, before) if gradient else None,
        gradient_step=GRADIENT_STEP,
        update=update,
    )


def states(model: nn.Module, branches: Sequence[ResidualBranch], batch: Batch) -> States:
    """The states that a perturbation's are held against.

    Raises:
        NonFiniteError: a state is not finite; names the first one.
    """
    after: dict[ResidualBranch, Tensor] = {}
    shares: dict[ResidualBranch, Tensor] = {}

    def measure(branch: ResidualBranch, shortcut: Tensor, output: Tensor) -> None:
        shares[branch] = share_of_sum(branch, shortcut, output)

    with at_additions(branches, measure):
        memory = _run(model, branches, batch, see=after.__setitem__)
    check_seen(branches, after.keys() & shares.keys())
    dependency = torch.stack([shares[branch] for branch in branches]).tolist()
    for branch, share in zip(branches, dependency, strict=True):
        check_state(branch, after[branch], share)
    return States(after, dependency, memory)


def random_output_change(
    model: nn.Module,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    before: States,
    *,
    draws: int,
    seed: int,
    step: RandomStep = RandomStep.SIGN,
) -> dict[StackName, OutputChange]:
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
    weights = branch_matrices(branches)

    changes = []
    for draw in range(draws):
        with unchanged_after(list(weights.values())), torch.no_grad():
            add_random_step(weights, step, seed=seed, draw=draw)
            changes.append(_output_change(model, branches, batch, before, hold_memory=True))
    return per_stack(branches, before.dependency, torch.stack(changes))


def gradient_output_change(
    model: nn.Module, branches: Sequence[ResidualBranch], batch: Batch, before: States
) -> dict[StackName, OutputChange]:
    """D_i under a step of GRADIENT_STEP against the sign of the gradient on every weight matrix of
    the residual branches; a weight without a gradient stays where it is.

    Each stack is perturbed on its own, as by the random step.

    Args:
        model: its parameters hold their gradients, as within `training_pass`.
        before: the states of the unperturbed model on `batch`.

    Raises:
        NonFiniteError: a perturbed state is not finite.
    """
    weights = branch_matrices(branches)
    with unchanged_after(list(weights.values())), torch.no_grad():
        for weight in weights.values():
            if weight.grad is not None:
                weight.add_(weight.grad.sign(), alpha=-GRADIENT_STEP)
        change = _output_change(model, branches, batch, before, hold_memory=True)
    return per_stack(branches, before.dependency, change.unsqueeze(0))


def update_output_change(
    model: nn.Module,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    before: States,
    training: TrainingSpec,
) -> dict[StackName, OutputChange]:
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
    return per_stack(branches, before.dependency, change.unsqueeze(0))


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


def branch_matrices(branches: Sequence[ResidualBranch]) -> dict[str, nn.Parameter]:
    """The weight matrices that a step is taken on, by the names of their random streams."""
    # A path is the name of a random stream, and must not change with the place of the built-in
    # sub-layer's branch within it.
    return {
        path.replace(f"{branch.path}.branch.", f"{branch.path}."): parameter
        for branch in branches
        for path, parameter in branch.parameters.items()
        if parameter.ndim >= 2
    }


def add_random_step(
    weights: Mapping[str, Tensor], step: RandomStep, *, seed: int, draw: int
) -> None:
    """Take one draw's step on these matrices, in place, by the names of their random streams."""

    def take(block: Tensor, generator: torch.Generator) -> None:
        block.add_(_random_direction(step, block, generator), alpha=RANDOM_STEP)

    draw_in_blocks(
        [
            Drawing(matrix=weight, seed=seed, purpose=f"perturbation.{draw}.{path}", draw=take)
            for path, weight in weights.items()
        ]
    )


def _random_direction(step: RandomStep, like: Tensor, generator: torch.Generator) -> Tensor:
    # On the CPU, where a seed means the same numbers whatever the device.
    if step is RandomStep.GAUSSIAN:
        return torch.randn(like.shape, generator=generator).to(like)
    bits = torch.randint(0, 2, like.shape, generator=generator, dtype=torch.int8)
    return (2 * bits - 1).to(like)


def _output_change(
    model: nn.Module,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    before: States,
    *,
    hold_memory: bool,
) -> Float[Tensor, " depth"]:
    """D_i at the state after each branch of the model as it is now."""
    changes: dict[ResidualBranch, Tensor] = {}
    last_of = {branch.stack: branch for branch in branches}

    def compare(branch: ResidualBranch, moved: Tensor) -> None:
        change = output_change(before.after[branch], moved)
        # Where stages differ in width, all depths are told as if they were as wide as the last.
        last = before.after[last_of[branch.stack]]
        changes[branch] = change * (last.shape[-1] / moved.shape[-1])

    _run(model, branches, batch, see=compare, memory=before.memory if hold_memory else None)
    check_seen(branches, changes)
    return torch.stack([changes[branch] for branch in branches])


@torch.no_grad()
def _run(
    model: nn.Module,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    *,
    see: Callable[[ResidualBranch, Tensor], None],
    memory: Memory | None = None,
) -> Memory:
    """One pass with dropout off, which calls see(branch, xhat_i) at each state; stacks hand on what
    `memory` says where one is given. Returns what they hand on."""
    handed_on: dict[nn.Module, Any] = {}

    def at_state(branch: ResidualBranch, state: Tensor) -> None:
        see(branch, compared(branch, state, batch))

    def hand_on(module: nn.Module, _: Any, output: Any) -> Any:
        handed_on[module] = output
        return None if memory is None else memory[module]

    with ExitStack() as hooks:
        for module in _stacks_but_the_last(model, branches):
            hooks.enter_context(module.register_forward_hook(hand_on))
        hooks.enter_context(in_mode(model, training=False))
        hooks.enter_context(at_states(branches, at_state))
        run(model, batch, branches)
    return handed_on


def _stacks_but_the_last(
    model: nn.Module, branches: Sequence[ResidualBranch]
) -> Iterator[nn.Module]:
    """The module around each stack that another one follows: all of its branches' paths begin with
    the module's, up to a number, which is a layer's."""
    stacks = list(dict.fromkeys(branch.stack for branch in branches))
    for stack in stacks[:-1]:
        paths = [branch.path.split(".")[:-1] for branch in branches if branch.stack == stack]
        common = takewhile(lambda steps: len(set(steps)) == 1, zip(*paths, strict=False))
        path = [steps[0] for steps in takewhile(lambda s: not s[0].isdigit(), common)]
        while path and isinstance(
            model.get_submodule(".".join(path)), nn.ModuleList | nn.ModuleDict
        ):
            path.pop()
        if path:
            yield model.get_submodule(".".join(path))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def per_stack(
    branches: Sequence[ResidualBranch],
    dependency: Sequence[float],
    changes: Float[Tensor, "draws depth"],
) -> dict[StackName, OutputChange]:
    """Growth over depth from D_i of each draw.

    Args:
        branches: in forward order, as the depths of `changes` are.
        dependency: beta_ii^2 of each branch.

    Raises:
        NonFiniteError: a D_i is not finite.
    """
    found = {}
    for stack in dict.fromkeys(branch.stack for branch in branches):
        rows = [row for row, branch in enumerate(branches) if branch.stack == stack]
        of_stack = changes[:, rows].double().cpu()
        finite = torch.isfinite(of_stack).all(0)
        if not finite.all():
            first = branches[rows[int(finite.logical_not().nonzero()[0])]]
            raise NonFiniteError(f"The output change at {first.path}", _name(first.dtype))
        theory = list(accumulate(dependency[row] for row in rows))
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

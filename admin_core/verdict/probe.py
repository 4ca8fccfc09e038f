"""A probe: a few real optimizer steps on a fresh model, and what they have done to it.

The value at initialisation does not tell a Pre-LN model that moves far and trains from a Post-LN
model that moves less and stalls. A few steps at full size do: where training is about to fail, the
states of all tokens become one, the gradient dies on its way down, and the output says the same
everywhere.

The steps are those of the spec's own optimizer, clipping and batches. Its warm-up is pressed
together into RAMP steps at most, so that the last ones are taken at the peak learning rate.

Notation:
    g_i       gradient of the weight matrices of branch i, as one vector
    x_i       state after sub-layer i
    u_t       state of token t after the last sub-layer, divided by its norm
    p_t       predicted distribution at place t
    H         entropy in nats
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from admin_core.data.batch import Batch
from admin_core.report import Role, StackName
from admin_core.residual import ResidualBranch, at_states
from admin_core.seeds import ambient
from admin_core.spec import Optimizer, TrainingSpec
from admin_core.training.loss import logits_of, objective
from admin_core.training.optimizers import make_optimizer
from admin_core.verdict.full_rate import peak_rate

PROBE_STEPS = 8
"""With the pass that looks at the outcome, 4.5 % of a run of 200 steps."""

RAMP = 5
"""Steps that a warm-up is pressed into."""

MAX_PLACES = 512
"""Places of the batch that similarity and predictions are taken over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackProbe:
    """One stack after the steps."""

    gradient_decay: float | None
    """log10(|g_N| / |g_1|) over the feed-forward branches, or all where there are none; None
    where one of them is zero."""

    gradient_spread: float | None
    """log10 of the largest |g_i| over the smallest, over the same branches."""

    state_gradient_decay: float | None
    """log10(|dL/dx_N| / |dL/dx_1|)."""

    token_similarity: float
    """Mean of u_s . u_t over all pairs of places s and t: 1 when all states are one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What was measured before, during and after the steps."""

    losses: tuple[float, ...]
    """Before each step, and after the last; in nats. Fewer when one was not finite."""

    finite: bool
    """Whether all of them were."""

    before: dict[StackName, StackProbe]
    """In the first pass, before any step."""

    after: dict[StackName, StackProbe]
    """In the last pass that was finite."""

    prediction_information: float | None
    """H(mean_t p_t) - mean_t H(p_t) in the last pass: 0 when the output is the same everywhere;
    None where the model gives no logits."""

    logit_deviation: float | None
    """Standard deviation of all logits in the last pass."""

    update_ratio: float
    """|W* - W| / |W| over all weight matrices, in the last step."""

    gradient_norm: tuple[float, float]
    """Of all parameters, before any step and in the last pass."""


def probe(
    model: nn.Module,
    branches: Sequence[ResidualBranch],
    batch_of: Callable[[int], Batch],
    training: TrainingSpec,
    *,
    seed: int,
) -> Probe:
    """Take PROBE_STEPS steps and look before the first and after the last. The model is changed.

    Args:
        model: fresh, with its omegas in place.
        branches: of the model, in forward order.
        batch_of: the batch of each step, from 0.
        training: the optimizer, its peak learning rate, warm-up and clipping.
        seed: of dropout.
    """
    model.train()
    training = _at_full_rate(training)
    optimizer = make_optimizer(model, training)
    matrices = [weight for weight in model.parameters() if weight.requires_grad and weight.ndim > 1]
    losses: list[float] = []
    looks: list[_Look] = []
    norms: list[float] = []
    update_ratio = 0.0
    finite = True
    for step in range(PROBE_STEPS + 1):
        batch = batch_of(step)
        look = _Look(branches) if step in (0, PROBE_STEPS) else None
        with ExitStack() as hooks, ambient(seed, f"probe.{step}", batch.device):
            if look is not None:
                look.watch(model, hooks)
            optimizer.zero_grad()
            to_minimise, loss = objective(
                model, batch, label_smoothing=training.label_smoothing, autocast=training.autocast
            )
            finite = bool(torch.isfinite(loss))
            if not finite:
                break
            to_minimise.backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss))
        norms.append(_norm(weight.grad for weight in model.parameters()))
        if look is not None:
            look.keep()
            looks.append(look)
        if step == PROBE_STEPS:
            break
        if training.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
        _set_rate(optimizer, training.learning_rate * probe_rate(training, step + 1))
        last = step == PROBE_STEPS - 1
        before = [weight.detach().clone() for weight in matrices] if last else []
        optimizer.step()
        if last:
            moved = (new.detach() - old for new, old in zip(matrices, before, strict=True))
            update_ratio = _norm(moved) / max(_norm(before), 1e-30)
    if not looks:
        return _nothing_finite()
    return Probe(
        losses=tuple(losses),
        finite=finite,
        before=looks[0].stacks,
        after=looks[-1].stacks,
        prediction_information=looks[-1].information,
        logit_deviation=looks[-1].deviation,
        update_ratio=update_ratio,
        gradient_norm=(norms[0], norms[-1]),
    )


def _nothing_finite() -> Probe:
    """Of a model whose first loss is not finite."""
    return Probe(
        losses=(),
        finite=False,
        before={},
        after={},
        prediction_information=None,
        logit_deviation=None,
        update_ratio=0.0,
        gradient_norm=(math.inf, math.inf),
    )


def _at_full_rate(training: TrainingSpec) -> TrainingSpec:
    """RAdam holds its first steps back, and then is Adam at a lower rate; the probe is about what
    it comes to."""
    if training.optimizer is not Optimizer.RADAM:
        return training
    return training.model_copy(
        update={"optimizer": Optimizer.ADAM, "learning_rate": peak_rate(training)}
    )


def probe_rate(training: TrainingSpec, step: int) -> float:
    """The learning rate of a step of the probe, from 1, as a share of the peak."""
    return min(1.0, step / (min(training.warmup_steps, RAMP) + 1))


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


class _Look:
    """Everything that is read off one forward and backward pass."""

    def __init__(self, branches: Sequence[ResidualBranch]) -> None:
        self.branches = branches
        self.similarity: dict[StackName, float] = {}
        self.state_gradients: dict[ResidualBranch, float] = {}
        self.information: float | None = None
        self.deviation: float | None = None
        self.stacks: dict[StackName, StackProbe] = {}

    def watch(self, model: nn.Module, hooks: ExitStack) -> None:
        """Have the pass looked at until `hooks` close."""
        hooks.enter_context(at_states(self.branches, self._see_state))
        hooks.callback(model.register_forward_hook(self._see_output).remove)

    def keep(self) -> None:
        """Read the gradients off the parameters, after the backward pass."""
        for stack in dict.fromkeys(branch.stack for branch in self.branches):
            own = [branch for branch in self.branches if branch.stack is stack]
            written = [branch for branch in own if branch.role is Role.FEED_FORWARD] or own
            norms = [
                _norm(weight.grad for weight in branch.parameters.values() if weight.ndim > 1)
                for branch in written
            ]
            states = [self.state_gradients.get(branch, 0.0) for branch in own]
            self.stacks[stack] = StackProbe(
                gradient_decay=_log_ratio(norms[-1], norms[0]),
                gradient_spread=_log_ratio(max(norms), min(norms)),
                state_gradient_decay=_log_ratio(states[-1], states[0]),
                token_similarity=self.similarity.get(stack, 0.0),
            )

    def _see_state(self, branch: ResidualBranch, state: Tensor) -> None:
        self.similarity[branch.stack] = token_similarity(state)  # the last one stays
        if state.requires_grad:
            state.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: self.state_gradients.update({branch: _norm([gradient])})
            )

    def _see_output(self, _: nn.Module, __: object, output: object) -> None:
        found = getattr(output, "logits", output)
        if not isinstance(found, Tensor | tuple | list):
            return
        logits = logits_of(found).detach().float().flatten(0, -2)[:MAX_PLACES]
        predicted = logits.softmax(-1)
        self.information = float(_entropy(predicted.mean(0)) - _entropy(predicted).mean())
        self.deviation = float(logits.std())


def token_similarity(state: Tensor) -> float:
    """Mean cosine between the states at two different places of the batch.

        mean over s != t of u_s . u_t = (|sum_t u_t|^2 - n) / (n (n - 1))

    Args:
        state: batch, places in one or more axes, features.
    """
    u = F.normalize(state.detach().float().flatten(0, -2)[:MAX_PLACES], dim=-1)
    n = len(u)
    return float((u.sum(0).square().sum() - n) / max(n * (n - 1), 1))


def _entropy(p: Tensor) -> Tensor:
    return -(p * p.clamp_min(1e-30).log()).sum(-1)


def _norm(tensors: Iterable[Tensor | None]) -> float:
    """Of all elements together, in float64."""
    norms = [torch.linalg.vector_norm(t, dtype=torch.float64) for t in tensors if t is not None]
    return float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0


def _log_ratio(over: float, under: float) -> float | None:
    if not (0 < over < math.inf and 0 < under < math.inf):
        return None
    return math.log10(over / under)

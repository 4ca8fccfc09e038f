"""A probe: a few real optimizer steps on a fresh model, and what they have done to it.

The value at initialisation does not tell a Pre-LN model that moves far and trains from a Post-LN
model that moves less and stalls. A few steps at full size do: where training is about to fail, the
states of all tokens become one, the gradient dies on its way down, and the output says the same
everywhere.

The steps are those of the spec's own optimizer, clipping and batches. Its warm-up is pressed
together into a fourth of them at most, so that the others are taken at the peak learning rate. The
last batch is looked at again after the last step: what the step made of the loss there, against
what the gradient promised, says whether it was too long.

Notation:
    n         steps of the probe, a twenty-fifth of the run's
    g         gradient of all weights, as one vector; g_i of the weight matrices of branch i
    x_i       state after sub-layer i
    u_t       state of token t after the last sub-layer, divided by its norm
    W, W*     weights before and after the last step
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from admin_core.data.batch import Batch
from admin_core.errors import NoLossError
from admin_core.report import StackName
from admin_core.residual import ResidualBranch
from admin_core.seeds import ambient
from admin_core.spec import Optimizer, TrainingSpec
from admin_core.training.loss import logits_of, objective
from admin_core.training.optimizers import make_optimizer
from admin_core.verdict.full_rate import peak_rate
from admin_core.verdict.look import Look, StackProbe, norm
from admin_core.verdict.predictions import Predictions, predictions

RUN_STEPS_PER_PROBE_STEP = 25
"""With the pass that looks at the outcome, a probe is then within 5 % of its run."""

FEWEST_STEPS = 6
MOST_STEPS = 40

RAMP_SHARE = 0.25
"""Of the probe's steps that a warm-up is pressed into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What was measured before, during and after the steps."""

    losses: tuple[float, ...]
    """Before each step, and after the last on the batch of the last; in nats. Fewer when one was
    not finite."""

    predictions: tuple[Predictions, ...]
    """In the same passes; none where the model gives no logits."""

    finite: bool
    """Whether all of them were."""

    before: dict[StackName, StackProbe]
    """In the first pass, before any step."""

    after: dict[StackName, StackProbe]
    """In the last pass that was finite."""

    attention_entropy: float | None
    """Of the attention that is most concentrated, in the last pass that was finite, as a share of
    what it could be (`AttentionWatch.least_entropy`); None where no attention was seen."""

    update_ratio: float
    """|W* - W| / |W| over all weight matrices, in the last step."""

    descent: float | None
    """(L(W) - L(W*)) / (g . (W - W*)) on the last batch: 1 where the step does what the gradient
    promises, below 0 where the loss rises instead; None where nothing was promised."""

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
    """Take the probe's steps and look before the first and after the last. The model is changed.

    Args:
        model: fresh, with its omegas in place.
        branches: of the model, in forward order.
        batch_of: the batch of each step, from 0.
        training: the optimizer, its peak learning rate, warm-up and clipping.
        seed: of dropout.
    """
    model.train()
    steps = probe_steps(training)
    training = _at_full_rate(training)
    optimizer = make_optimizer(model, training)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    losses: list[float] = []
    said: list[Predictions] = []
    looks: list[Look] = []
    norms: list[float] = []
    step_taken: _Step | None = None
    finite = True
    for step in range(steps + 1):
        number = min(step, steps - 1)  # the last batch twice
        batch = batch_of(number)
        look = Look(branches) if step in (0, steps) else None
        with ExitStack() as hooks, ambient(seed, f"probe.{number}", batch.device):
            if look is not None:
                look.watch(hooks)
            hooks.enter_context(_output_seen(model, batch, said))
            optimizer.zero_grad()
            to_minimise, loss = objective(
                model, batch, label_smoothing=training.label_smoothing, autocast=training.autocast
            )
            finite = bool(torch.isfinite(loss))
            if not finite:
                break
            to_minimise.backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss))
        length = get_total_norm(w.grad for w in weights if w.grad is not None)
        norms.append(float(length))
        if look is not None:
            look.keep()
            looks.append(look)
        if step == steps:
            break
        clipped = 1.0
        if training.clip_norm is not None:
            clip_grads_with_norm_(weights, training.clip_norm, length)
            clipped = min(1.0, training.clip_norm / max(norms[-1], 1e-30))
        _set_rate(optimizer, training.learning_rate * probe_rate(training, step + 1))
        if step == steps - 1:
            step_taken = _Step(weights, clipped)
        optimizer.step()
        if step_taken is not None:
            step_taken.measure()
    if not looks:
        return _nothing_finite()
    return Probe(
        losses=tuple(losses),
        predictions=tuple(said[: len(losses)]),
        finite=finite,
        before=looks[0].stacks,
        after=looks[-1].stacks,
        attention_entropy=looks[-1].attention.least_entropy,
        update_ratio=step_taken.ratio if step_taken else 0.0,
        descent=step_taken.descent(losses) if step_taken and finite else None,
        gradient_norm=(norms[0], norms[-1]),
    )


class _Step:
    """The last step, as it is taken."""

    def __init__(self, weights: Sequence[nn.Parameter], clipped: float) -> None:
        """`clipped` is the factor that clipping left of the gradient."""
        self.weights = weights
        self.before = [weight.detach().clone() for weight in weights]
        self.clipped = clipped
        self.ratio = 0.0
        self.promised = 0.0

    def measure(self) -> None:
        """After the optimizer's step, while the gradients are there."""
        moved = [
            (w.detach() - old, old, w.grad)
            for w, old in zip(self.weights, self.before, strict=True)
        ]
        matrices = [(change, old) for change, old, _ in moved if old.ndim > 1]
        self.ratio = norm(change for change, _ in matrices) / max(
            norm(old for _, old in matrices), 1e-30
        )
        along = sum(float((change * g).sum()) for change, _, g in moved if g is not None)
        self.promised = -along / max(self.clipped, 1e-30)

    def descent(self, losses: Sequence[float]) -> float | None:
        """What became of the promise; the last two losses are of the same batch."""
        if not (math.isfinite(self.promised) and self.promised > 1e-12):
            return None
        return (losses[-2] - losses[-1]) / self.promised


def _nothing_finite() -> Probe:
    """Of a model whose first loss is not finite."""
    return Probe(
        losses=(),
        finite=False,
        before={},
        after={},
        attention_entropy=None,
        predictions=(),
        update_ratio=0.0,
        descent=None,
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


def probe_steps(training: TrainingSpec) -> int:
    """n, how many steps a run of this length is probed with."""
    return min(MOST_STEPS, max(FEWEST_STEPS, training.steps // RUN_STEPS_PER_PROBE_STEP))


def probe_rate(training: TrainingSpec, step: int) -> float:
    """The learning rate of a step of the probe, from 1, as a share of the peak."""
    ramp = min(training.warmup_steps, int(RAMP_SHARE * probe_steps(training)))
    return min(1.0, step / (ramp + 1))


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


@contextmanager
def _output_seen(model: nn.Module, batch: Batch, said: list[Predictions]) -> Iterator[None]:
    """Within the block, what the model's logits say is added to `said`."""

    def see(_: nn.Module, __: object, output: object) -> None:
        try:
            found = predictions(logits_of(output), batch.targets)
        except NoLossError:
            return
        if found is not None:
            said.append(found)

    handle = model.register_forward_hook(see)
    try:
        yield
    finally:
        handle.remove()

"""One arm of a race with one seed, from fresh weights to its outcome.

The seed and the step decide the step's data and its dropout, and the seed and the path decide each
weight. So all arms of a seed see the same data, a run does not depend on what ran before it, and
one that was stopped goes on from its last checkpoint as if nothing had happened.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from admin_core.analysis.profiling import profile
from admin_core.data.batch import Batch
from admin_core.data.dataset import Dataset
from admin_core.device import resolve_device
from admin_core.errors import AnalysisReleasedError
from admin_core.forward import failures_told
from admin_core.progress import OnProgress, Progress, ignore_progress
from admin_core.race_report import RacePoint, SeedResult, Stopped, ValidationPoint
from admin_core.race_spec import RunSpec
from admin_core.residual import ResidualBranch
from admin_core.seeds import derived_seed, seed_ambient
from admin_core.size import Limits
from admin_core.sources import Source, source_of
from admin_core.training.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from admin_core.training.monitor import Monitor
from admin_core.training.optimizers import make_optimizer
from admin_core.training.outcomes import MIN_TAIL, is_hopeless, judge_run, steps_to
from admin_core.training.run_batches import RunBatches
from admin_core.training.schedules import learning_rate_at
from admin_core.training.step import training_step
from admin_core.training.validation import validation_loss

OnPoint = Callable[[RacePoint], None]
"""Called after every step."""


def ignore_point(_: RacePoint) -> None:
    """For callers that only want the result."""


@dataclass(slots=True, kw_only=True)
class RunState:
    """How far a run is, beside its weights, its optimizer and its monitor."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    non_finite_at: int | None = None
    validation: list[dict[str, Any]] = field(default_factory=list)
    """`ValidationPoint`s as JSON values."""

    tokens: int = 0
    seconds: float = 0.0
    """Spent in training steps."""

    omegas: dict[str, float] = field(default_factory=dict)

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


def train_arm(
    run: RunSpec,
    *,
    seed: int,
    device: str = "cpu",
    on_progress: OnProgress = ignore_progress,
    on_point: OnPoint = ignore_point,
    checkpoint: Checkpoint | None = None,
    dataset: Dataset | None = None,
    limits: Limits | None = None,
) -> SeedResult:
    """Train the run's model and say what became of it.

    Args:
        run: the arm, its patch applied.
        seed: of weights, data and dropout.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        on_progress: called after every step; may raise `AnalysisCancelledError`, or
            `AnalysisReleasedError` to have the state saved first.
        on_point: the same, with the step's loss and what was seen.
        checkpoint: where to leave the state now and then, and to go on from where there is one.
        dataset: what the run's `data` stands for, if that is an upload or of the hub.
        limits: what a model may take whose size only shows when it is built.

    Raises:
        InvalidSpecError: the model or the sequence length does not fit the data set.
        DegenerateBranchError: the Admin arm has a branch that no omega can be chosen for.
        CheckpointError: the file there is not this run's.
        ValueError: no such device.
    """
    on = resolve_device(device)
    training = run.training
    state = RunState()
    source = source_of(run, on, limits, dataset)
    source.check_data(held_out=True)
    batches = RunBatches(run, seed, source)
    model = source.build(seed)
    branches = source.branches(model)
    restored = checkpoint is not None and checkpoint.path.exists()
    if restored:
        # Some networks have omegas from here on alone; the checkpoint holds their values.
        source.take_omegas(dict.fromkeys(_admin_branches(source, branches), 1.0))
    else:
        state.omegas = profile_admin(source, model, branches, batches.training(0), seed=seed)
    optimizer = make_optimizer(model, training)
    monitor = Monitor(
        model,
        optimizer,
        every=run.monitoring.every,
        loss_rule=run.monitoring.loss_rule,
        branches=branches,
    )
    unigram_loss = batches.unigram_loss()
    if unigram_loss is None:
        unigram_loss = validation_loss(model, optimizer, batches.held_out())
    if checkpoint is not None and restored:
        state = _restore(checkpoint, run, seed, model, optimizer, monitor)

    def save() -> None:
        if checkpoint is not None and checkpoint.before_save():
            saved = {"run": asdict(state), "monitor": monitor.state()}
            save_checkpoint(
                checkpoint.path,
                model=model,
                optimizer=optimizer,
                run=_fingerprint(run, seed, on),
                state=saved,
            )
            checkpoint.after_save()

    model.train()
    stopped: Stopped | None = None
    saved_at = time.monotonic()
    with monitor, failures_told(model), _own_random_state(on):
        while state.step < training.steps and stopped is None:
            step = state.step + 1
            learning_rate = learning_rate_at(step, training)
            started = time.perf_counter()
            seed_ambient(derived_seed(seed, f"dropout.{step}"), on)
            drawn = batches.of_step(step)
            loss = training_step(model, optimizer, drawn, training, learning_rate=learning_rate)
            state.step = step
            state.seconds += time.perf_counter() - started
            state.tokens += sum(batch.num_answers for batch in drawn)

            watch = monitor.step(loss)
            if math.isfinite(loss):
                state.losses.append(loss)
            else:
                state.non_finite_at = step
            stopped = _reason_to_stop(run, state, unigram_loss)
            held_out = None
            last = step == training.steps or stopped is not None
            if last or step % (run.validation.every or max(1, training.steps // 10)) == 0:
                held_out = _validate(model, optimizer, batches, run, state)
            on_point(
                RacePoint(
                    step=step,
                    loss=loss if math.isfinite(loss) else None,
                    learning_rate=learning_rate,
                    tokens_per_second=state.tokens_per_second,
                    validation_loss=held_out,
                    watch=watch,
                )
            )
            if checkpoint and time.monotonic() - saved_at >= checkpoint.every_seconds and not last:
                save()
                saved_at = time.monotonic()
            try:
                on_progress(Progress("training", step / training.steps))
            except AnalysisReleasedError:
                save()
                raise

    judgement = judge_run(
        state.losses,
        non_finite_at=state.non_finite_at,
        unigram_loss=unigram_loss,
        steps=training.steps,
    )
    return SeedResult(
        arm=run.name,
        seed=seed,
        outcome=judgement.outcome,
        diverged_at_step=judgement.diverged_at_step,
        stopped=stopped,
        steps=state.step,
        losses=state.losses,
        final_loss=judgement.final_loss,
        validation=[ValidationPoint.model_validate(point) for point in state.validation],
        spikes=judgement.spikes,
        unigram_loss=unigram_loss,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        tokens_per_second=state.tokens_per_second,
        seconds=state.seconds,
        omegas=state.omegas,
        monitor=monitor.section(),
    )


def profile_admin(
    source: Source,
    model: nn.Module,
    branches: Sequence[ResidualBranch],
    batch: Batch,
    *,
    seed: int,
) -> dict[str, float]:
    """Give every Admin stack its omegas by the clinic convention, from one pass over `batch`;
    returns them by path. Other stacks stay as they are."""
    stacks = source.admin_stacks(branches)
    if not stacks:
        return {}
    profiles = profile(model, branches, batch, admin_stacks=stacks, seed=seed)
    omegas = {found.branch: found.omega for found in profiles if found.omega is not None}
    source.take_omegas(omegas)
    return {branch.path: omega for branch, omega in omegas.items()}


def _admin_branches(source: Source, branches: Sequence[ResidualBranch]) -> list[ResidualBranch]:
    stacks = source.admin_stacks(branches)
    return [branch for branch in branches if branch.stack in stacks]


def _validate(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: RunBatches,
    run: RunSpec,
    state: RunState,
) -> float | None:
    loss = validation_loss(model, optimizer, batches.held_out(), autocast=run.training.autocast)
    finite = loss if math.isfinite(loss) else None
    state.validation.append({"step": state.step, "loss": finite})
    return finite


def _reason_to_stop(run: RunSpec, state: RunState, unigram_loss: float) -> Stopped | None:
    if state.non_finite_at is not None:
        return "non_finite"
    if run.stop.at_target and run.target_loss is not None:
        if steps_to(run.target_loss, state.losses[-MIN_TAIL:]) is not None:
            return "target"
    hopeless_after = run.stop.hopeless_after
    if hopeless_after is not None and state.step >= hopeless_after * run.training.steps:
        enough = state.step % MIN_TAIL == 0
        if enough and is_hopeless(
            state.losses, unigram_loss=unigram_loss, steps=run.training.steps
        ):
            return "hopeless"
    if run.budget_seconds is not None and state.seconds >= run.budget_seconds:
        return "budget"
    return None


def _restore(
    checkpoint: Checkpoint,
    run: RunSpec,
    seed: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    monitor: Monitor,
) -> RunState:
    device = next(model.parameters()).device
    saved = load_checkpoint(
        checkpoint.path, model=model, optimizer=optimizer, run=_fingerprint(run, seed, device)
    )
    monitor.restore(saved["monitor"])
    return RunState(**saved["run"])


def _fingerprint(run: RunSpec, seed: int, device: torch.device) -> str:
    """What a checkpoint belongs to: the same on every start of the same run."""
    text = f"{run.model_dump_json()}/{seed}/{device.type}/{torch.__version__}"
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def _own_random_state(device: torch.device) -> Iterator[None]:
    """Within the block, seeding torch does not touch the process's own random state."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield

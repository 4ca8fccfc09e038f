"""A diagnosis: find and profile the branches, perturb the weights, judge."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from admin_core.analysis.amplification import amplify
from admin_core.analysis.dependency import dependency, dependency_section
from admin_core.analysis.gradients import gradients
from admin_core.analysis.numeric_range import RangeWatch
from admin_core.analysis.omega import omega_section
from admin_core.analysis.profiling import BranchProfile, profile_repeatedly, reported
from admin_core.analysis.stability import StabilityCheck
from admin_core.analysis.training_pass import training_pass
from admin_core.applicability import PRETRAINED
from admin_core.data.dataset import Dataset
from admin_core.device import resolve_device
from admin_core.environment import environment
from admin_core.errors import InvalidSpecError, NoLossError, UnavailableError
from admin_core.estimate.check import unexpected_variances
from admin_core.forward import failures_told
from admin_core.models.weights import load_weights
from admin_core.progress import OnProgress, Progress, ignore_progress
from admin_core.report import (
    Finding,
    Report,
    StackName,
)
from admin_core.size import Limits, is_streamed
from admin_core.sources import Given, Source, source_of
from admin_core.sources.built_in import BuiltIn
from admin_core.sources.given import as_batch
from admin_core.spec import (
    ALL_ANALYSES,
    AmplificationSpec,
    Analysis,
    ClinicOmega,
    DiagnosisSpec,
    OmegaSpec,
    TrainingSpec,
    TransformerSpec,
)
from admin_core.streamed_diagnosis import streamed_report
from admin_core.training.checkpoints import Checkpoint
from admin_core.verdict.forecast import Forecaster
from admin_core.verdict.probe import probe_steps
from admin_core.verdict.rules import judge as growth_verdict
from admin_core.verdict.verdict import judge

STEP_COST = 3.3
"""Of one step of a probe, in forward passes."""
PROBE_COST = 3.6
"""Of what a probe takes beside its steps: the model that is built for it, and the look back."""
PROBES_OF_EDGES = 58
PROBES_OF_PRESCRIPTIONS = 20
"""Of a model that is not stable; a stable one needs none, and one that much mends fewer."""


class Stages:
    """Times each stage, and says which one has begun."""

    def __init__(self, cost: dict[str, float], on_progress: OnProgress) -> None:
        """`cost` holds each stage's rough share of the work, in any unit, in order."""
        self.cost = cost
        self.on_progress = on_progress
        self.seconds: dict[str, float] = {}
        self.latest = Progress("", 0.0)
        self._steps = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._steps = 0
        self._tell(name, 0.0)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def step(self) -> None:
        """Say that one more step of a probe begins. How many there will be depends on what is
        found; past 0.8 of the usual number, each counts for less than the one before."""
        name = self.latest.stage
        taken = self._steps * STEP_COST / self.cost[name]
        self._steps += 1
        self._tell(name, taken if taken < 0.8 else 1.0 - 0.2 * math.exp(4.0 - 5.0 * taken))

    def _tell(self, name: str, part: float) -> None:
        done = sum(self.cost[earlier] for earlier in self.seconds) + part * self.cost[name]
        self.latest = Progress(name, done / sum(self.cost.values()))
        self.on_progress(self.latest)


def diagnose_spec(
    spec: DiagnosisSpec,
    *,
    device: str = "cpu",
    on_progress: OnProgress = ignore_progress,
    weights: Path | None = None,
    dataset: Dataset | None = None,
    limits: Limits | None = None,
    checkpoint: Checkpoint | None = None,
) -> Report:
    """Build the spec's model and diagnose it on a batch of its data; one that is too large to be
    built whole, a sub-layer at a time (`streamed_diagnosis`).

    Args:
        spec: what to measure, and on what.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        on_progress: called as each stage begins; may raise `AnalysisCancelledError`.
        weights: a safetensors file of trained weights in place of fresh ones, for which there are
            no omegas to choose.
        dataset: what the spec's `data` stands for, if that is an upload or of the hub.
        limits: what a model may take, whose size may only show when it is built, and from which
            size on it is not held whole.
        checkpoint: where a model that is not held whole leaves what is measured of it so far, and
            goes on.

    Raises:
        CheckpointError: what lies there cannot be read, or belongs to another spec.
        DegenerateBranchError: a branch that no omega can be chosen for.
        ForwardError: the model's own forward pass raises.
        NonFiniteError: a pass left the range of float32.
        NoSuchDeviceError: the device is not in this machine.
        WeightsError: the file of weights does not fit the model.
        InvalidSpecError: the config is none that its library can build; the model or the sequence
            length does not fit the data set; or several models are to be averaged, but one's
            weights are given.
    """
    pretrained = weights is not None
    if pretrained and spec.omega.seeds > 1:
        raise InvalidSpecError("omega.seeds", "given weights are one model; leave this field out")
    on = resolve_device(device)
    source = source_of(spec, on, limits, dataset)
    source.check_data(held_out=False)
    if limits is not None and not pretrained and is_streamed(spec, limits):
        assert isinstance(source, BuiltIn), "only the built-in Transformer is streamed"
        return streamed_report(spec, source, on_progress=on_progress, checkpoint=checkpoint)
    stages = Stages(_costs(spec), on_progress)
    with stages.stage("build"):
        model = source.build(spec.seed)
        if weights is not None:
            load_weights(model, weights)
    forecaster = None
    if not pretrained and JUDGED.intersection(spec.analyses):
        forecaster = Forecaster(seed=spec.seed, device=on, dataset=dataset, before_step=stages.step)
    with failures_told(model):
        return _report(
            source,
            model,
            spec,
            stages,
            device=on,
            pretrained=pretrained,
            forecaster=forecaster,
        )


def diagnose(
    model: nn.Module,
    batch: Any,
    *,
    training: TrainingSpec | None = None,
    omega: OmegaSpec | None = None,
    amplification: AmplificationSpec | None = None,
    analyses: Sequence[Analysis] = ALL_ANALYSES,
    seed: int = 0,
    pretrained: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> Report:
    """Diagnose any network as it is, in this process.

    Args:
        model: left as it was, in its mode and with its weights.
        batch: what it is called with: a dict of keyword arguments, a tuple of positional ones, one
            tensor, or a `Batch`, which can hold targets for its logits. Without targets the loss is
            the output's own, ``output.loss`` or an output that is a scalar.
        training: how it would be trained; learning rate and optimizer decide the verdict.
        omega, amplification, analyses, seed: as in `DiagnosisSpec`.
        pretrained: whether the weights are trained, so that there are no omegas to choose.
        on_progress: called as each stage begins.

    Raises:
        TypeError: `batch` is none of these, or `model` no `nn.Module`.
        DegenerateBranchError, ForwardError, NonFiniteError: as `diagnose_spec` does.
        InvalidSpecError: `omega` asks for several models or batches.
    """
    plan = Plan(
        training=training or TrainingSpec(),
        omega=omega or ClinicOmega(),
        amplification=amplification or AmplificationSpec(),
        analyses=tuple(analyses),
        seed=seed,
    )
    if plan.omega.seeds > 1 or plan.omega.batches > 1:
        raise InvalidSpecError("omega", "one model and one batch are given; average over no others")
    if not isinstance(model, nn.Module):
        raise TypeError(f"The model is a {type(model).__name__}, where an nn.Module was expected.")
    given = as_batch(batch)
    stages = Stages(_costs(plan), on_progress)
    trained = {module: module.training for module in model.modules()}
    try:
        with failures_told(model):
            return _report(
                Given(model, given), model, plan, stages, device=given.device, pretrained=pretrained
            )
    finally:
        for module, was_training in trained.items():
            module.training = was_training


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be measured of a model that is there already; a `DiagnosisSpec` says as much."""

    training: TrainingSpec
    omega: OmegaSpec
    amplification: AmplificationSpec
    analyses: tuple[Analysis, ...]
    seed: int


def _report(
    source: Source,
    model: nn.Module,
    plan: DiagnosisSpec | Plan,
    stages: Stages,
    *,
    device: torch.device,
    pretrained: bool,
    forecaster: Forecaster | None = None,
) -> Report:
    """Everything that the plan asks for, of a model of the source; judged by a probe where there is
    a forecaster, else by growth alone."""
    wanted = set(plan.analyses)
    unavailable = dict(source.unavailable())
    with stages.stage("branches"):
        branches = source.branches(model)
        batch = source.batch(plan.seed)
    if not branches:
        wanted -= {*Analysis} - {Analysis.GRADIENTS}
        unavailable |= dict.fromkeys(("omega", "amplification", "dependency", "verdict"), NO_BRANCH)

    profiles: list[BranchProfile] = []
    applicable = PRETRAINED if pretrained else source.applicability(branches)
    with stages.stage("omega"):
        if branches:
            admin = source.admin_stacks(branches)
            profiles = profile_repeatedly(
                model,
                branches,
                omega=plan.omega,
                admin_stacks=applicable.stacks,
                seed=plan.seed,
                make_model=source.build,
                make_batch=source.batch,
                find_branches=source.branches,
            )
            source.take_omegas(
                {
                    found.branch: found.omega
                    for found in profiles
                    if found.branch.stack in admin and found.omega is not None
                }
            )

    dependencies = None
    if Analysis.DEPENDENCY in wanted:
        with stages.stage("dependency"):
            try:
                found = dependency(model, branches, batch)
                dependencies = {stack: dependency_section(beta) for stack, beta in found.items()}
            except UnavailableError as error:
                unavailable["dependency"] = error.reason

    amplification = verdict = measured = rules = ranges = None
    with ExitStack() as gradients_held:
        has_loss = True
        if wanted & {Analysis.GRADIENTS, Analysis.AMPLIFICATION, *JUDGED}:
            with stages.stage("gradients"):
                range_watch = RangeWatch(model, branches)
                stability = StabilityCheck(model, branches)
                watch = [range_watch.watching(), stability.watching()]
                try:
                    passed = gradients_held.enter_context(
                        training_pass(
                            model,
                            branches,
                            batch,
                            seed=plan.seed,
                            watch=watch if Analysis.GRADIENTS in wanted else [],
                        )
                    )
                except NoLossError as error:
                    has_loss = False
                    unavailable |= dict.fromkeys(NEEDS_A_LOSS, str(error))
                if Analysis.GRADIENTS in wanted and has_loss:
                    measured = gradients(model, branches, passed, plan.training)
                    rules = stability.section(plan.training)
                    ranges = range_watch.section(plan.training)
                    unavailable |= range_watch.unavailable()
        if wanted & {Analysis.AMPLIFICATION, *JUDGED}:
            with stages.stage("output change"):
                amplification = amplify(
                    model,
                    branches,
                    batch,
                    plan.amplification,
                    plan.training if has_loss else None,
                    seed=plan.seed,
                )
            widths = {profile.branch.stack: profile.d_model for profile in profiles}
            staged = [stack for stack in widths if _has_stages(stack, profiles)]
            if staged:
                unavailable["verdict.amplification"] = STAGES
            try:
                verdict = growth_verdict(amplification, d_model=widths, staged=staged)
            except UnavailableError as error:
                unavailable["verdict"] = error.reason
    if verdict is not None and forecaster is not None and isinstance(plan, DiagnosisSpec):
        with stages.stage("probe"):
            verdict = judge(
                plan, forecaster, by_growth=verdict, with_edges=Analysis.EDGES in wanted
            )
    stages.on_progress(Progress("report", 1.0))

    omegas = None
    if Analysis.OMEGA in wanted:
        omegas = omega_section(plan.omega, applicable, source.comparators(branches))
    rows = [reported(profile) for profile in profiles]
    unexpected: list[Finding] = []
    if not pretrained and isinstance(plan, DiagnosisSpec):
        if isinstance(plan.model, TransformerSpec):
            unexpected = unexpected_variances(plan, plan.model, rows)
    return Report(
        branches=rows,
        omega=omegas,
        amplification=amplification if Analysis.AMPLIFICATION in wanted else None,
        dependency=dependencies,
        gradients=measured,
        stability_rules=rules,
        numeric_range=ranges,
        verdict=verdict if wanted & JUDGED else None,
        environment=environment(
            model,
            device=device,
            seed=plan.seed,
            data_sha256=source.data_sha256,
            num_tokens=profiles[0].num_tokens if profiles else batch.num_answers,
            dropout_active=plan.omega.dropout,
            durations_seconds=stages.seconds,
        ),
        findings=[*source.findings(model, branches), *unexpected],
        unavailable=unavailable,
    )


NO_BRANCH = (
    "The network has no residual addition: nothing is carried past anything, so that there is no "
    "branch to measure."
)

JUDGED = frozenset({Analysis.VERDICT, Analysis.EDGES})
"""The analyses that a verdict comes of."""

STAGES = (
    "The stream changes its shape between stages, by something that is no sub-layer: the output "
    "change over depth is shown, but its slope is not that of the sub-layers, and is not judged."
)

NEEDS_A_LOSS = ("gradients", "stability_rules", "numeric_range", "amplification.update")
"""Parts of a report that take a backward pass."""


def _has_stages(stack: StackName, profiles: Sequence[BranchProfile]) -> bool:
    """Whether the additions of a stack see tokens of different number or width."""
    return len({(p.d_model, p.num_tokens) for p in profiles if p.branch.stack == stack}) > 1


def _costs(plan: DiagnosisSpec | Plan) -> dict[str, float]:
    """The stages of this diagnosis in order, each with its rough cost in forward passes."""
    wanted = set(plan.analyses)
    costs = {
        "build": 1.0,
        "branches": 0.1,
        "omega": 1.0 * plan.omega.batches * plan.omega.seeds,
    }
    if Analysis.DEPENDENCY in wanted:
        costs["dependency"] = 2.0
    if wanted & {Analysis.GRADIENTS, Analysis.AMPLIFICATION, *JUDGED}:
        costs["gradients"] = 5.0 if Analysis.GRADIENTS in wanted else 3.0
    if wanted & {Analysis.AMPLIFICATION, *JUDGED}:
        costs["output change"] = 4.0 + 1.5 * plan.amplification.draws
    if wanted & JUDGED and isinstance(plan, DiagnosisSpec):
        edges = PROBES_OF_EDGES if Analysis.EDGES in wanted else 0
        probe = PROBE_COST + STEP_COST * probe_steps(plan.training)
        costs["probe"] = probe * (1 + edges + PROBES_OF_PRESCRIPTIONS)
    return costs

"""A diagnosis: profile the branches, perturb the weights, judge."""

import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

import torch

from admin_core.analysis.amplification import amplify
from admin_core.analysis.dependency import dependency, dependency_section
from admin_core.analysis.gradients import gradients
from admin_core.analysis.numeric_range import RangeWatch
from admin_core.analysis.omega import apply_omegas, omega_section
from admin_core.analysis.profiling import BranchProfile, profile_repeatedly
from admin_core.analysis.stability import StabilityCheck
from admin_core.analysis.training_pass import training_pass
from admin_core.applicability import applicability
from admin_core.data.batch import Batch
from admin_core.data.batches import make_batch
from admin_core.data.dataset import Dataset
from admin_core.data.dataset_fit import check_fit
from admin_core.data.sha256 import data_sha256
from admin_core.device import resolve_device
from admin_core.errors import InvalidSpecError
from admin_core.models.transformer import build_transformer
from admin_core.models.weights import load_weights
from admin_core.progress import OnProgress, Progress, ignore_progress
from admin_core.report import (
    Branch,
    Environment,
    Report,
)
from admin_core.residual import residual_branches
from admin_core.size import num_parameters, num_tokens
from admin_core.spec import Analysis, DiagnosisSpec
from admin_core.verdict.rules import judge


class Stages:
    """Times each stage, and says which one has begun."""

    def __init__(self, cost: dict[str, float], on_progress: OnProgress) -> None:
        """`cost` holds each stage's rough share of the work, in any unit, in order."""
        self.cost = cost
        self.on_progress = on_progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        done = sum(self.cost[earlier] for earlier in self.seconds)
        self.on_progress(Progress(name, done / sum(self.cost.values())))
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


def diagnose_spec(
    spec: DiagnosisSpec,
    *,
    device: str = "cpu",
    on_progress: OnProgress = ignore_progress,
    weights: Path | None = None,
    dataset: Dataset | None = None,
) -> Report:
    """Build the spec's model and diagnose it on a batch of its data.

    Args:
        spec: what to measure, and on what.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        on_progress: called as each stage begins; may raise `AnalysisCancelledError`.
        weights: a safetensors file of trained weights in place of fresh ones, for which there are
            no omegas to choose.
        dataset: what the spec's `data` stands for, if that is an upload or of the hub.

    Raises:
        DegenerateBranchError: a branch that no omega can be chosen for.
        NonFiniteError: a pass left the range of float32.
        NoSuchDeviceError: the device is not in this machine.
        WeightsError: the file of weights does not fit the model.
        InvalidSpecError: several models are to be averaged, but one's weights are given; or
            the model or the sequence length does not fit the data set.
    """
    on = resolve_device(device)
    if dataset is not None:
        check_fit(spec, dataset.facts, held_out=False)
    pretrained = weights is not None
    if pretrained and spec.omega.seeds > 1:
        raise InvalidSpecError("omega.seeds", "given weights are one model; leave this field out")
    wanted = set(spec.analyses)
    stages = Stages(_costs(spec), on_progress)

    def draw_batch(seed: int, step: int) -> Batch:
        return make_batch(
            spec.data,
            spec.model,
            batch_size=spec.training.batch_size,
            sequence_length=spec.training.sequence_length,
            seed=seed,
            step=step,
            dataset=dataset,
        ).to(on)

    with stages.stage("build"):
        model = build_transformer(spec.model, seed=spec.seed, device=on)
        if weights is not None:
            load_weights(model, weights)
        branches = residual_branches(model)
        batch = draw_batch(spec.seed, 0)

    with stages.stage("omega"):
        profiles = profile_repeatedly(
            model,
            branches,
            omega=spec.omega,
            admin_stacks=applicability(spec.model, pretrained=pretrained).stacks,
            seed=spec.seed,
            make_model=lambda seed: build_transformer(spec.model, seed=seed, device=on),
            make_batch=draw_batch,
        )
        apply_omegas(profiles)

    dependencies = None
    if Analysis.DEPENDENCY in wanted:
        with stages.stage("dependency"):
            found = dependency(model, branches, batch)
            dependencies = {stack: dependency_section(beta) for stack, beta in found.items()}

    amplification = verdict = measured = rules = ranges = None
    with ExitStack() as gradients_held:
        if wanted & {Analysis.GRADIENTS, Analysis.AMPLIFICATION, Analysis.VERDICT}:
            with stages.stage("gradients"):
                range_watch = RangeWatch(model, branches)
                stability = StabilityCheck(model, branches)
                watch = [range_watch.watching(), stability.watching()]
                passed = gradients_held.enter_context(
                    training_pass(
                        model,
                        branches,
                        batch,
                        seed=spec.seed,
                        watch=watch if Analysis.GRADIENTS in wanted else [],
                    )
                )
                if Analysis.GRADIENTS in wanted:
                    measured = gradients(model, branches, passed, spec.training)
                    rules = stability.section(spec.training)
                    ranges = range_watch.section(spec.training)
        if wanted & {Analysis.AMPLIFICATION, Analysis.VERDICT}:
            with stages.stage("output change"):
                amplification = amplify(
                    model, branches, batch, spec.amplification, spec.training, seed=spec.seed
                )
            verdict = judge(amplification, d_model=spec.model.d_model)
    on_progress(Progress("report", 1.0))

    return Report(
        branches=[_branch(profile) for profile in profiles],
        omega=omega_section(spec, pretrained=pretrained) if Analysis.OMEGA in wanted else None,
        amplification=amplification if Analysis.AMPLIFICATION in wanted else None,
        dependency=dependencies,
        gradients=measured,
        stability_rules=rules,
        numeric_range=ranges,
        verdict=verdict if Analysis.VERDICT in wanted else None,
        environment=Environment(
            trimtab=version("trimtab"),
            python=platform.python_version(),
            torch=torch.__version__,
            device=str(on),
            dtype="float32",
            seed=spec.seed,
            data_sha256=data_sha256(spec.data, dataset),
            num_parameters=num_parameters(spec.model),
            num_tokens=num_tokens(spec),
            dropout_active=spec.omega.dropout,
            durations_seconds=stages.seconds,
        ),
    )


def _costs(spec: DiagnosisSpec) -> dict[str, float]:
    """The stages of this diagnosis in order, each with its rough cost in forward passes."""
    wanted = set(spec.analyses)
    costs = {"build": 1.0, "omega": 1.0 * spec.omega.batches * spec.omega.seeds}
    if Analysis.DEPENDENCY in wanted:
        costs["dependency"] = 2.0
    if wanted & {Analysis.GRADIENTS, Analysis.AMPLIFICATION, Analysis.VERDICT}:
        costs["gradients"] = 5.0 if Analysis.GRADIENTS in wanted else 3.0
    if wanted & {Analysis.AMPLIFICATION, Analysis.VERDICT}:
        costs["output change"] = 4.0 + 1.5 * spec.amplification.draws
    return costs


def _branch(found: BranchProfile) -> Branch:
    return Branch(
        index=found.branch.index,
        stack=found.branch.stack,
        path=found.branch.path,
        role=found.branch.role,
        norm_placement=found.branch.norm_placement,
        shortcut_variance=found.shortcut_variance,
        branch_variance=found.branch_variance,
        branch_variance_sem=found.branch_variance_sem,
        omega=found.omega,
        omega_sem=found.omega_sem,
        dependency=found.dependency,
    )

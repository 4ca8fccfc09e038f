"""A diagnosis: profile the branches, perturb the weights, judge."""

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

import torch

from admin_core.analysis.amplification import (
    RANDOM_STEP,
    random_output_change,
    states,
    update_output_change,
)
from admin_core.analysis.omega import apply_omegas
from admin_core.analysis.profiling import BranchProfile, profile
from admin_core.data.batches import make_batch
from admin_core.data.text import pydoc_sha256
from admin_core.device import resolve_device
from admin_core.models.transformer import build_transformer
from admin_core.progress import OnProgress, Progress, ignore_progress
from admin_core.report import (
    AmplificationSection,
    Branch,
    Environment,
    OmegaSection,
    Report,
)
from admin_core.residual import residual_branches
from admin_core.size import num_parameters, num_tokens
from admin_core.spec import Analysis, DiagnosisSpec, Scheme, Stack, TextData, TransformerSpec
from admin_core.verdict.rules import judge

DRAWS = 3
"""Random steps that the output change is averaged over."""

TAKES_OMEGAS = (Scheme.POST_LN, Scheme.ADMIN)
"""The schemes that Admin's omegas mean something for."""


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
    spec: DiagnosisSpec, *, device: str = "cpu", on_progress: OnProgress = ignore_progress
) -> Report:
    """Build the spec's model with fresh weights and diagnose it on a batch of its data.

    Args:
        spec: what to measure, and on what.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        on_progress: called as each stage begins; may raise `AnalysisCancelledError`.

    Raises:
        DegenerateBranchError: a branch that no omega can be chosen for.
        NonFiniteError: a pass left the range of float32.
        ValueError: no such device.
    """
    on = resolve_device(device)
    amplify = {Analysis.AMPLIFICATION, Analysis.VERDICT} & set(spec.analyses)
    cost = {"build": 1.0, "omega": 1.0}
    if amplify:
        cost |= {"states": 1.0, "random": 1.5 * DRAWS, "update": 5.0}
    stages = Stages(cost, on_progress)

    with stages.stage("build"):
        model = build_transformer(spec.model, seed=spec.seed, device=on)
        branches = residual_branches(model)
        batch = make_batch(
            spec.data,
            spec.model,
            batch_size=spec.training.batch_size,
            sequence_length=spec.training.sequence_length,
            seed=spec.seed,
        ).to(on)

    with stages.stage("omega"):
        admin_stacks = [s for s in spec.model.layers if spec.model.scheme_of(s) in TAKES_OMEGAS]
        profiles = profile(model, branches, batch, admin_stacks=admin_stacks, seed=spec.seed)
        apply_omegas(profiles)

    amplification = verdict = None
    if amplify:
        with stages.stage("states"):
            before = states(model, branches, batch)
        with stages.stage("random"):
            random = random_output_change(
                model, branches, batch, before, draws=DRAWS, seed=spec.seed
            )
        with stages.stage("update"):
            update = update_output_change(
                model, branches, batch, before, spec.training, seed=spec.seed
            )
        amplification = AmplificationSection(
            random=random, random_step=RANDOM_STEP, draws=DRAWS, update=update
        )
        verdict = judge(amplification, d_model=spec.model.d_model)
    on_progress(Progress("report", 1.0))

    wanted = set(spec.analyses)
    return Report(
        branches=[_branch(found) for found in profiles],
        omega=_omega_section(spec.model) if Analysis.OMEGA in wanted else None,
        amplification=amplification if Analysis.AMPLIFICATION in wanted else None,
        verdict=verdict if Analysis.VERDICT in wanted else None,
        environment=Environment(
            trimtab=version("trimtab"),
            python=platform.python_version(),
            torch=torch.__version__,
            device=str(on),
            dtype="float32",
            seed=spec.seed,
            data_sha256=pydoc_sha256() if isinstance(spec.data, TextData) else None,
            num_parameters=num_parameters(spec.model),
            num_tokens=num_tokens(spec),
            dropout_active=True,
            durations_seconds=stages.seconds,
        ),
    )


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
        dependency=found.branch_variance / found.sum_variance,
    )


def _omega_section(model: TransformerSpec) -> OmegaSection:
    without = [stack for stack in model.layers if model.scheme_of(stack) not in TAKES_OMEGAS]
    reason = None
    if without:
        reason = " ".join(_why_not(stack, model.scheme_of(stack)) for stack in without)
    return OmegaSection(
        convention="clinic",
        first_value="omega_1 = 1 in each stack",
        applicable=len(without) < len(model.layers),
        reason=reason,
    )


def _why_not(stack: Stack, scheme: Scheme) -> str:
    return (
        f"The {stack.value} is {scheme.value}: without a norm after the addition its shortcut "
        "already outgrows its branches, and scaling it would only rescale the final norm's input."
    )

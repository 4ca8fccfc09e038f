"""A race: every arm with every seed, and what follows from them."""

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from admin_core.data.dataset import Dataset
from admin_core.data.sha256 import data_sha256
from admin_core.device import resolve_device
from admin_core.progress import OnProgress, Progress, ignore_progress
from admin_core.race_report import RaceEnvironment, RacePoint, RaceReport, SeedResult
from admin_core.race_spec import RaceSpec
from admin_core.race_statistics import compare
from admin_core.size import Limits
from admin_core.training.arm import train_arm
from admin_core.training.checkpoints import Checkpoint

OnRacePoint = Callable[[str, int, RacePoint], None]
"""Called after every step with the arm's name and the seed."""


def ignore_race_point(_: str, __: int, ___: RacePoint) -> None:
    """For callers that only want the report."""


def race(
    spec: RaceSpec,
    *,
    device: str = "cpu",
    on_progress: OnProgress = ignore_progress,
    on_point: OnRacePoint = ignore_race_point,
    checkpoints: Path | None = None,
    dataset: Dataset | None = None,
    limits: Limits | None = None,
) -> RaceReport:
    """Run every arm with every seed, one after another, in this process.

    Args:
        device: ``auto``, ``cpu`` or ``cuda:N``.
        on_progress: called after every step; may raise `AnalysisCancelledError`.
        on_point: called after every step.
        checkpoints: a folder for a file per arm and seed; runs go on from those that are there.
        dataset: what the spec's `data` stands for, if that is an upload or of the hub.
        limits: what a model may take whose size only shows when it is built.

    Raises:
        as `train_arm` does.
    """
    # Seed by seed, so that a race that is cut short has compared all arms on some seeds.
    pairs = [(arm, seed) for seed in spec.seeds for arm in range(len(spec.arms))]
    results = []
    for done, (arm, seed) in enumerate(pairs):
        run = spec.run(arm)

        def advance(progress: Progress, done: int = done, name: str = run.name) -> None:
            on_progress(Progress(name, (done + progress.share) / len(pairs)))

        def show(point: RacePoint, seed: int = seed, name: str = run.name) -> None:
            on_point(name, seed, point)

        checkpoint = None
        if checkpoints is not None:
            checkpoint = Checkpoint(path=checkpoints / f"{arm}-{seed}.safetensors")
        results.append(
            train_arm(
                run,
                seed=seed,
                device=device,
                on_progress=advance,
                on_point=show,
                checkpoint=checkpoint,
                dataset=dataset,
                limits=limits,
            )
        )
    return conclude(spec, results, device=device, dataset=dataset)


def conclude(
    spec: RaceSpec,
    results: Sequence[SeedResult],
    *,
    device: str = "cpu",
    dataset: Dataset | None = None,
) -> RaceReport:
    """The report of a race whose runs may have taken place anywhere, in any order.

    Args:
        results: one per arm and seed.
        device: that they ran on.
        dataset: that they read, if the spec's `data` is an upload or of the hub.
    """
    return compare(
        spec,
        results,
        RaceEnvironment(
            trimtab=version("trimtab"),
            python=platform.python_version(),
            torch=torch.__version__,
            device=str(resolve_device(device)),
            data_sha256=data_sha256(spec.data, dataset),
        ),
    )

"""Examine a subject: build its model as a run would, probe it, and read off its features."""

from dataclasses import dataclass

import torch

from admin_core.data.unigram import unigram_entropy
from admin_core.models.transformer import build_transformer
from admin_core.race_spec import RunSpec
from admin_core.residual import residual_branches
from admin_core.spec import Subject
from admin_core.training.arm import profile_admin
from admin_core.training.run_batches import RunBatches
from admin_core.verdict.features import features
from admin_core.verdict.probe import PROBE_STEPS, Probe, probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was found."""

    probe: Probe
    features: list[float]
    """One value for each of FEATURES."""


def examine(subject: Subject, *, seed: int, device: torch.device) -> Examination:
    """Probe a fresh model of the subject on batches of its data.

    Raises:
        DegenerateBranchError: an Admin model with a branch that no omega can be chosen for.
    """
    run = RunSpec(name="probe", model=subject.model, training=subject.training, data=subject.data)
    batches = RunBatches(run, seed, device)
    model = build_transformer(run.model, seed=seed, device=device)
    profile_admin(model, run, batches.training(0), seed=seed)
    branches = residual_branches(model)
    found = probe(model, branches, batches.training, run.training, seed=seed)
    seen = (batches.training(step) for step in range(PROBE_STEPS + 1))
    return Examination(
        probe=found,
        features=features(
            found,
            run.training,
            depth=len(branches),
            unigram=unigram_entropy(seen, vocabulary=run.model.vocab_size),
        ),
    )

"""Examine a subject: build its model as a run would, probe it, and read off its features."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from admin_core.data.at_hand import told_at_hand
from admin_core.data.batch import Batch
from admin_core.data.dataset import Dataset
from admin_core.data.unigram import unigram_entropy
from admin_core.errors import UnavailableError
from admin_core.race_spec import RunSpec
from admin_core.sources import source_of
from admin_core.spec import Subject
from admin_core.training.arm import profile_admin
from admin_core.training.run_batches import RunBatches
from admin_core.verdict.features import features
from admin_core.verdict.probe import Probe, probe, probe_steps
from admin_core.verdict.readable import readable


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was found."""

    probe: Probe
    features: list[float]
    """One value for each of FEATURES."""

    depth: int
    """Sub-layers of all stacks."""

    at_hand: float
    """What can be known of an answer at its own place (`told_at_hand`)."""


def examine(
    subject: Subject,
    *,
    seed: int,
    device: torch.device,
    dataset: Dataset | None = None,
    before_step: Callable[[], None] = lambda: None,
) -> Examination:
    """Probe a fresh model of the subject on batches of its data.

    Args:
        seed: of weights, data and dropout.
        dataset: what the subject's `data` stands for, if that is an upload or of the hub.
        before_step: called before every step; may raise `AnalysisCancelledError`.

    Raises:
        DegenerateBranchError: an Admin model with a branch that no omega can be chosen for.
        UnavailableError: the model has no residual branch, or takes its loss itself, so that there
            is no unigram loss to hold it against.
    """
    run = RunSpec(name="probe", model=subject.model, training=subject.training, data=subject.data)
    source = source_of(run, device, dataset=dataset)
    batches = RunBatches(run, seed, source)
    model = source.build(seed)
    branches = source.branches(model)
    if not branches:
        raise UnavailableError("the network has no residual addition")
    if not batches.training(0).has_targets:
        raise UnavailableError("the model takes its loss itself, so that no unigram loss is known")
    seen = [batches.training(step) for step in range(probe_steps(run.training))]
    unigram = unigram_entropy(seen)
    if not unigram:
        raise UnavailableError("all answers are the same, so that there is nothing to learn")
    at_hand = told_at_hand(seen)
    profile_admin(source, model, branches, batches.training(0), seed=seed)
    read = readable(model, branches, (seen[0], seen[1]), seed=seed)

    def batch_of(step: int) -> Batch:
        before_step()
        return seen[step]

    found = probe(model, branches, batch_of, run.training, seed=seed)
    return Examination(
        probe=found,
        features=features(
            found,
            run.training,
            placements=[branch.norm_placement for branch in branches],
            unigram=unigram,
            at_hand=at_hand,
            readable=read,
        ),
        depth=len(branches),
        at_hand=at_hand,
    )

"""Foretell whether a subject trains: probe it, and ask the model of failure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from admin_core.config_facts import layers_at_least, width_at_least
from admin_core.data.dataset import Dataset
from admin_core.merge_patch import merge_patch
from admin_core.spec import Subject, SyntheticName, TextData, TransformerSpec
from admin_core.verdict.examination import Examination, examine
from admin_core.verdict.failure_model import failure_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What was foretold, and from what."""

    failure_probability: float
    examinations: tuple[Examination, ...]
    """One for each probe."""

    @property
    def features(self) -> list[list[float]]:
        """Of each probe."""
        return [found.features for found in self.examinations]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecaster:
    """Probes one subject after another in the same way."""

    seed: int
    """Of the first probe's weights, data and dropout; the next probe has the next seed."""

    device: torch.device
    dataset: Dataset | None = None
    """What `data` stands for, if that is an upload or of the hub."""

    before_step: Callable[[], None] = lambda: None
    """Called before every step of every probe; may raise `AnalysisCancelledError`."""

    def forecast(self, subject: Subject, *, probes: int = 1) -> Forecast:
        """The probability that a run of the subject diverges or stalls.

        Args:
            probes: whose mean score it is made of; each has weights and batches of its own. Near
                the edge chance decides what a few steps do: two tell more than one, at twice the
                cost.

        Raises:
            DegenerateBranchError: an Admin model with a branch that no omega can be chosen for.
            InvalidSpecError: the model cannot be built, or takes no omegas.
            UnavailableError: there is nothing to probe, or to hold it against.
        """
        found = tuple(
            examine(
                subject,
                seed=self.seed + number,
                device=self.device,
                dataset=self.dataset,
                before_step=self.before_step,
            )
            for number in range(probes)
        )
        probability = failure_model().probability([each.features for each in found])
        return Forecast(failure_probability=probability, examinations=found)


def outside_calibration(subject: Subject) -> list[str]:
    """What of the subject lies beyond the runs that the model of failure was fitted to, each as a
    sentence with the value and the range; empty where nothing does."""
    beyond = []
    data = subject.data
    if not isinstance(data, TextData) and getattr(data, "name", None) is not SyntheticName.SORT:
        beyond.append(
            f"data.kind = {data.kind} lies outside the embedded text and the task sort, which the "
            "runs behind the probability read"
        )
    found = quantities(subject)
    for name, bounds in failure_model().calibrated.items():
        value = found.get(name)
        if value is not None and not bounds.low <= value <= bounds.high:
            said = f"{name} = {value:g} lies" if value else f"{name} is not given, and may lie"
            beyond.append(
                f"{said} outside {bounds.low:g} to {bounds.high:g}, the range of the runs behind "
                "the probability"
            )
    return beyond


def quantities(subject: Subject) -> dict[str, float]:
    """What the calibrated range is told in, as far as the spec itself says it."""
    model, training = subject.model, subject.training
    found: dict[str, float] = {
        "training.steps": training.steps,
        "training.warmup_steps": training.warmup_steps,
    }
    if isinstance(model, TransformerSpec):
        return found | {"model.d_model": model.d_model, "layers": sum(model.layers.values())}
    return found | {"model.d_model": width_at_least(model), "layers": layers_at_least(model)}


def patched(subject: Subject, patch: Mapping[str, Any]) -> Subject:
    """The subject with a merge patch of its model and training applied.

    Raises:
        ValidationError: the patch does not fit.
    """
    spec = subject.model_dump(mode="json", include={"data", "training", "model"})
    return Subject.model_validate(merge_patch(spec, patch))

"""The smallest changes that are predicted to make a subject train.

Candidates stand in the order of what they change: Admin, which changes the initialisation alone,
then the schedule, the learning rate, the weights' distribution, the place of the norms, then two of
these together, the run's length, and at last a usual recipe in place of the whole training. Each is
forecast, and those below LEVEL are prescribed; where none is, nothing is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pydantic import ValidationError

from admin_core.applicability import TAKES_OMEGAS
from admin_core.errors import (
    DegenerateBranchError,
    InvalidSpecError,
    NoLossError,
    NonFiniteError,
    OmegaNotApplicableError,
    UnavailableError,
)
from admin_core.merge_patch import merge_patch
from admin_core.report import Prescription
from admin_core.spec import (
    Initialisation,
    Optimizer,
    Schedule,
    Scheme,
    StackSchemes,
    Subject,
    TransformerSpec,
)
from admin_core.verdict.failure_model import failure_model
from admin_core.verdict.forecast import Forecaster, patched

LEVEL = 0.15
"""The probability of failure that a prescription has to come below."""

MOST = 3
"""Prescriptions in one verdict."""

EVEN = 0.5
"""Of failure as of training: what the first probe puts there a second one will not bring below
LEVEL."""

PROBES = 2
"""Of one candidate, so that a lucky one does not become a prescription."""

DOES_NOT_FIT = (
    ValidationError,
    DegenerateBranchError,
    InvalidSpecError,
    NoLossError,
    NonFiniteError,
    OmegaNotApplicableError,
    UnavailableError,
)
"""What is raised where a change cannot be made to a model, or cannot be probed there."""

FACTOR = 3
"""Between one learning rate that is tried and the next."""

RECIPE_BETAS = (0.9, 0.98)
RECIPE_RATE = 2e-3
RECIPE_CLIP = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A change that may help."""

    change: str
    patch: dict[str, Any]


def prescribe(subject: Subject, forecaster: Forecaster) -> list[Prescription]:
    """Up to MOST changes after which the subject is predicted to train, the smallest first.

    Args:
        subject: within the calibrated range.
    """
    found: list[Prescription] = []
    for candidate in candidates(subject):
        probability = _foretold(subject, candidate, forecaster)
        if probability < LEVEL:
            found.append(
                Prescription(
                    change=candidate.change, patch=candidate.patch, failure_probability=probability
                )
            )
        if len(found) == MOST:
            break
    return found


def _foretold(subject: Subject, candidate: Candidate, forecaster: Forecaster) -> float:
    """The probability of failure after a change; 1 where it does not fit the model."""
    try:
        changed = patched(subject, candidate.patch)
        first = forecaster.forecast(changed).failure_probability
        if first >= EVEN:
            return first
        return forecaster.forecast(changed, probes=PROBES).failure_probability
    except DOES_NOT_FIT:
        return 1.0


def candidates(subject: Subject) -> Iterator[Candidate]:
    """All changes that are tried, the smallest first; some twenty at most."""
    rate = subject.training.learning_rate
    slower, faster = _rate(rate / FACTOR), _rate(rate * FACTOR)
    admin, warmer, pre = _admin(subject), _warmup(subject), _pre_ln(subject)
    xavier, longer, recipe = _xavier(subject), _longer(subject), _recipe(subject)
    alone = [admin, warmer, slower, faster, xavier, pre]
    yield from (candidate for candidate in alone if candidate)
    together = [(admin, slower), (warmer, slower), (xavier, slower), (pre, slower), (pre, faster)]
    yield from (_both(one, other) for one, other in together if one and other)
    yield _rate(rate / FACTOR**2)
    yield _rate(rate * FACTOR**2)
    at_last = [(longer,), (longer, slower), (recipe,), (recipe, longer)]
    at_last += [(recipe, admin), (recipe, pre), (recipe, pre, xavier), (recipe, pre, longer)]
    for changes in at_last:
        found = [change for change in changes if change]
        if len(found) == len(changes):
            yield reduce(_both, found)


def _admin(subject: Subject) -> Candidate | None:
    model = subject.model
    if not isinstance(model, TransformerSpec):
        # Where the network's branches are not Post-LN, the source refuses, and so does the search.
        takes_none = model.scheme is not None
        return (
            None
            if takes_none
            else Candidate(
                change="Admin, with omegas profiled before the first step",
                patch={"model": {"scheme": Scheme.ADMIN}},
            )
        )
    stacks = [stack for stack in model.layers if model.scheme_of(stack) is Scheme.POST_LN]
    if not stacks:
        return None
    schemes = {
        stack.value: Scheme.ADMIN if stack in stacks else model.scheme_of(stack)
        for stack in model.layers
    }
    of_all = isinstance(model.scheme, StackSchemes) and schemes or Scheme.ADMIN
    where = " and ".join(f"the {stack.value}" for stack in stacks)
    return Candidate(
        change=f"Admin in {where}, with omegas profiled before the first step",
        patch={"model": {"scheme": of_all}},
    )


def _pre_ln(subject: Subject) -> Candidate | None:
    model = subject.model
    if not isinstance(model, TransformerSpec):
        return None
    if not any(model.scheme_of(stack) in TAKES_OMEGAS for stack in model.layers):
        return None
    return Candidate(
        change="Pre-LN in place of the norm after the addition",
        patch={"model": {"scheme": Scheme.PRE_LN}},
    )


def _xavier(subject: Subject) -> Candidate | None:
    model = subject.model
    if not isinstance(model, TransformerSpec) or model.initialisation is Initialisation.XAVIER:
        return None
    return Candidate(
        change=f"Xavier initialisation in place of {model.initialisation.value}",
        patch={"model": {"initialisation": Initialisation.XAVIER}},
    )


def _warmup(subject: Subject) -> Candidate | None:
    training = subject.training
    longer = max(2 * training.warmup_steps, training.steps // 5)
    if longer > training.steps // 2:
        return None
    return Candidate(
        change=f"A warm-up of {longer} steps in place of {training.warmup_steps}",
        patch={"training": {"warmup_steps": longer}},
    )


def _longer(subject: Subject) -> Candidate | None:
    """Twice the steps, or as many as the calibration knows."""
    given = subject.training.steps
    steps = min(2 * given, int(failure_model().calibrated["training.steps"].high))
    if steps <= given:
        return None
    return Candidate(
        change=f"{steps} steps in place of {given}", patch={"training": {"steps": steps}}
    )


def _recipe(subject: Subject) -> Candidate:
    """Adam as the paper's models are trained with it, at a rate that small models bear."""
    warmup = subject.training.steps // 10
    return Candidate(
        change=f"Adam with beta2 = {RECIPE_BETAS[1]:g}, a peak learning rate of {RECIPE_RATE:g} "
        f"after {warmup} steps of warm-up, and the gradient cut to {RECIPE_CLIP:g}",
        patch={
            "training": {
                "optimizer": Optimizer.ADAM,
                "betas": list(RECIPE_BETAS),
                "learning_rate": RECIPE_RATE,
                "warmup_steps": warmup,
                "schedule": Schedule.INVERSE_SQRT,
                "clip_norm": RECIPE_CLIP,
                "momentum": 0.0,
            }
        },
    )


def _rate(rate: float) -> Candidate:
    rounded = float(f"{rate:.3g}")
    return Candidate(
        change=f"A peak learning rate of {rounded:g}",
        patch={"training": {"learning_rate": rounded}},
    )


def _both(one: Candidate, other: Candidate) -> Candidate:
    rest = other.change[0].lower() + other.change[1:]
    return Candidate(change=f"{one.change}, and {rest}", patch=merge_patch(one.patch, other.patch))

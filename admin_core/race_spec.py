"""What a user asks for when several trainings are to be compared: a race. No torch is loaded here.

A race is one model, training and data, and arms that each patch the model or the training. Every
arm runs once per seed; for one seed all arms start from the same random streams and see the same
batches.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from admin_core.merge_patch import merge_patch
from admin_core.spec import Count, Part, Probability, Real, Scheme, Subject, Whole
from admin_core.training.loss_rules import LossPreset


class ArmPatch(Part):
    """An RFC 7396 merge patch: what it names replaces what the race says, null takes it away."""

    model: dict[str, JsonValue] = {}
    training: dict[str, JsonValue] = {}


class Arm(Part):
    """One contestant."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    patch: ArmPatch = ArmPatch()
    predicted_failure_probability: Annotated[Real, Field(ge=0, le=1)] | None = None
    """That it stalls or diverges, as a verdict had it; the report says whether that came true."""


class SensitivityGrid(Part):
    """The paper's grid of learning rates and Adam's beta2, for each of some schemes."""

    schemes: Annotated[tuple[Scheme, ...], Field(min_length=1)] = (
        Scheme.POST_LN,
        Scheme.PRE_LN,
        Scheme.ADMIN,
    )
    learning_rates: Annotated[tuple[Real, ...], Field(min_length=1)] = (
        1e-4,
        2e-4,
        3e-4,
        4e-4,
        5e-4,
    )
    beta2s: Annotated[tuple[Probability, ...], Field(min_length=1)] = (0.99, 0.995, 0.999)
    beta1: Probability = 0.9

    def arms(self) -> list[dict[str, Any]]:
        """One arm a cell, named as ``admin lr=0.0001 beta2=0.99``."""
        return [
            {
                "name": f"{scheme.value} lr={learning_rate:g} beta2={beta2:g}",
                "patch": {
                    "model": {"scheme": scheme.value},
                    "training": {"learning_rate": learning_rate, "betas": [self.beta1, beta2]},
                },
            }
            for scheme in self.schemes
            for learning_rate in self.learning_rates
            for beta2 in self.beta2s
        ]


class Sensitivity(Part):
    """The grid in place of a list of arms."""

    sensitivity: SensitivityGrid


def _arms_in_full(arms: Any) -> Any:
    """Shorthands written out: a scheme's name is an arm, and so is each cell of a grid."""
    if isinstance(arms, Mapping):
        return Sensitivity.model_validate(arms).sensitivity.arms()
    if not isinstance(arms, list | tuple):
        return arms
    unknown = [i for i, arm in enumerate(arms) if isinstance(arm, str) and arm not in list(Scheme)]
    if unknown:
        known = ", ".join(scheme.value for scheme in Scheme)
        message = f"No scheme has this name; give one of {known}, or an object with name and patch"
        raise ValidationError.from_exception_data(
            "race", [_error((i,), arms[i], "unknown_scheme", message) for i in unknown]
        )
    return [
        {"name": str(arm), "patch": {"model": {"scheme": str(arm)}}}
        if isinstance(arm, str)
        else arm
        for arm in arms
    ]


def _counted_seeds(seeds: Any) -> Any:
    """A number n stands for the seeds 0 to n - 1."""
    if isinstance(seeds, bool) or not isinstance(seeds, int):
        return seeds
    return range(min(seeds, 1_001))  # more are refused by their number anyway


Seeds = Annotated[
    tuple[Annotated[Whole, Field(lt=2**63)], ...],
    BeforeValidator(_counted_seeds, json_schema_input_type=Count | list[Whole]),
    Field(min_length=1, max_length=1_000),
]
BudgetSeconds = Annotated[Real, Field(gt=0, le=1e9)]


class StopRules(Part):
    """When a run ends before its last step. One whose loss is not finite always does."""

    hopeless_after: Probability | None = None
    """Share of the steps after which a run that would be called diverged or stalled is stopped;
    never unless given."""
    at_target: bool = False
    """Whether a run stops when it has reached `target_loss`."""


class Validation(Part):
    """How the loss on held-out data is measured."""

    every: Count | None = None
    """Steps between two measurements; a tenth of the run's unless given, and always at its end."""
    batches: Annotated[Count, Field(le=10_000)] = 4


class Monitoring(Part):
    """How closely each run is watched."""

    every: Annotated[Whole, Field(le=10**9)] = 50
    """Steps between two looks at gradients, updates and activations; 0 never looks."""
    loss_rule: LossPreset = LossPreset.OLMO
    """Whose rule for a loss that goes wrong."""


class RunSpec(Subject):
    """One arm of a race as it is run: the patch is applied."""

    name: str
    """Of the arm."""
    stop: StopRules = StopRules()
    validation: Validation = Validation()
    monitoring: Monitoring = Monitoring()
    target_loss: Real | None = None
    budget_seconds: Real | None = None
    """Of this run."""


class RaceSpec(Subject):
    """Everything a race needs. The same spec and version give the same losses on one device."""

    arms: Annotated[
        tuple[Arm, ...],
        BeforeValidator(_arms_in_full, json_schema_input_type=list[Scheme | Arm] | Sensitivity),
        Field(min_length=1, max_length=1_000),
    ]
    """Each the name of a scheme, or ``{"name": ..., "patch": {"model": ..., "training": ...}}``; or
    ``{"sensitivity": {}}``, the paper's grid of learning rates and beta2."""
    seeds: Seeds = (0, 1, 2)
    """A list, or a number n for 0 to n - 1."""
    stop: StopRules = StopRules()
    validation: Validation = Validation()
    monitoring: Monitoring = Monitoring()
    target_loss: Annotated[Real, Field(gt=0)] | None = None
    """In nats; steps are counted until a run reaches it. Unless given, the highest final loss among
    the arms that trained in every seed."""
    budget_seconds: BudgetSeconds | None = None
    """Of training in all runs together, shared out evenly; a run that has used up its share stops
    and is judged as it is."""

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> Self:
        errors = []
        first: dict[str, int] = {}
        for i, arm in enumerate(self.arms):
            if first.setdefault(arm.name, i) != i:
                errors.append(
                    _error(
                        ("arms", i, "name"),
                        arm.name,
                        "repeated_arm",
                        f"arms.{first[arm.name]} has this name already; give each arm its own",
                    )
                )
        for i, seed in enumerate(self.seeds):
            if seed in self.seeds[:i]:
                errors.append(_error(("seeds", i), seed, "repeated_seed", "Name each seed once"))
        if errors:
            raise ValidationError.from_exception_data("race", errors)
        return self

    @model_validator(mode="after")
    def _a_target_to_stop_at(self) -> Self:
        if self.stop.at_target and self.target_loss is None:
            raise ValidationError.from_exception_data(
                "race",
                [_error(("target_loss",), None, "missing_target", "Needed by stop.at_target")],
            )
        return self

    @model_validator(mode="after")
    def _every_arm_can_be_run(self) -> Self:
        for i in range(len(self.arms)):
            self.run(i)
        return self

    def run(self, arm: int) -> RunSpec:
        """Arm number `arm`, its patch applied.

        Raises:
            ValidationError: the patch does not fit; paths are those of this spec.
        """
        patch = self.arms[arm].patch.model_dump(exclude_unset=True)
        subject = self.model_dump(
            mode="json", include={"data", "training", "model"}, exclude_unset=True
        )
        share = None
        if self.budget_seconds is not None:
            share = self.budget_seconds / (len(self.arms) * len(self.seeds))
        rest = {
            "name": self.arms[arm].name,
            "stop": self.stop,
            "validation": self.validation,
            "monitoring": self.monitoring,
            "target_loss": self.target_loss,
            "budget_seconds": share,
        }
        try:
            return RunSpec.model_validate({**merge_patch(subject, patch), **rest})
        except ValidationError as error:
            raise _below(("arms", arm, "patch"), error) from None


def _error(path: tuple[str | int, ...], value: object, kind: str, message: str) -> InitErrorDetails:
    # Braces in the message itself would be read as a template.
    custom = PydanticCustomError(kind, "{message}", {"message": message})
    return InitErrorDetails(type=custom, loc=path, input=value)


def _below(path: tuple[str | int, ...], error: ValidationError) -> ValidationError:
    """The same errors, with `path` before each of their own."""
    return ValidationError.from_exception_data(
        "race",
        [
            _error((*path, *each["loc"]), each["input"], each["type"], each["msg"])
            for each in error.errors(include_url=False)
        ],
    )

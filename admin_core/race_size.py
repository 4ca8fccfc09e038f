"""How much work a race is, worked out before anything is allocated. No torch is loaded here.

A training step costs about 6 floating-point operations per weight and token (2 forward, 4 backward:
Kaplan et al. 2020) and 12 per layer, token, attended token and feature, without recomputation.
"""

from dataclasses import dataclass

from admin_core.config_facts import tokens_are_read
from admin_core.errors import InvalidSpecError, LimitExceededError
from admin_core.race_spec import RaceSpec
from admin_core.size import Limits, check_limits, num_parameters
from admin_core.spec import Subject, TransformerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceLimits:
    """What one race may take."""

    job: Limits
    """Of each arm by itself."""

    max_runs: int
    """Arms times seeds, ``TRIMTAB_MAX_RACE_RUNS``."""

    max_steps: int
    """Training steps of all arms and seeds together, ``TRIMTAB_MAX_RACE_STEPS``."""

    flops_per_second: float
    """What the machine does at its very best, so that only a race that cannot fit its budget is
    refused, ``TRIMTAB_FLOPS_PER_SECOND``."""


def total_steps(spec: RaceSpec) -> int:
    """Training steps of all arms and seeds together."""
    return len(spec.seeds) * sum(spec.run(i).training.steps for i in range(len(spec.arms)))


def step_flops(run: Subject) -> int:
    """Floating-point operations of one training step; of an architecture of Transformers, those
    that the parameters it has at least take for each token."""
    model, training = run.model, run.training
    length = training.sequence_length
    tokens = training.batch_size * length * training.accumulation
    # Each weight of a stack meets that stack's tokens only, and all stacks hold as many.
    products = 6 * num_parameters(model) * tokens
    if not isinstance(model, TransformerSpec):
        return products if tokens_are_read(model) else 0
    attentions = sum(
        layers * (model.sublayers_per_layer(stack) - 1) for stack, layers in model.layers.items()
    )
    return products + 12 * attentions * tokens * length * model.d_model


def race_flops(spec: RaceSpec) -> int:
    """Floating-point operations of a whole race, without validation."""
    runs = [spec.run(i) for i in range(len(spec.arms))]
    return len(spec.seeds) * sum(run.training.steps * step_flops(run) for run in runs)


def check_race_limits(spec: RaceSpec, limits: RaceLimits) -> None:
    """Return if every arm fits, and all of them together.

    Raises:
        LimitExceededError: an arm is too large, or the runs or their steps are too many; the
            figures are named.
        InvalidSpecError: the budget is too small for the race even at the machine's best.
    """
    for i in range(len(spec.arms)):
        try:
            check_limits(spec.run(i), limits.job)
        except LimitExceededError as error:
            raise LimitExceededError(
                f"arms.{i}.patch.{error.field}",
                error.quantity,
                error.requested,
                error.limit,
                error.setting,
            ) from None
        except InvalidSpecError as error:
            raise InvalidSpecError(f"arms.{i}.patch.{error.field}", error.reason) from None
    runs = len(spec.arms) * len(spec.seeds)
    if runs > limits.max_runs:
        raise LimitExceededError("arms", "runs", runs, limits.max_runs, "TRIMTAB_MAX_RACE_RUNS")
    steps = total_steps(spec)
    if steps > limits.max_steps:
        raise LimitExceededError(
            "arms", "training steps", steps, limits.max_steps, "TRIMTAB_MAX_RACE_STEPS"
        )
    flops = race_flops(spec)
    seconds = flops / limits.flops_per_second
    if spec.budget_seconds is not None and seconds > spec.budget_seconds:
        raise InvalidSpecError(
            "budget_seconds",
            f"{len(spec.arms)} arms and {len(spec.seeds)} seeds are {steps:,} training steps or "
            f"{flops:.1e} floating-point operations, at least {seconds:,.0f} s on this machine, "
            f"above the budget of {spec.budget_seconds:,.0f} s; race fewer arms, seeds or steps, "
            "or raise the budget.",
        )

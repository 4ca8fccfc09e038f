"""What comes back from a race, as data. Nothing in it is NaN or infinite. No torch is loaded here.

Losses are mean cross-entropies in nats; steps count from 1.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from admin_core.report import Section
from admin_core.training.loss_rules import LossPreset


class RaceOutcome(StrEnum):
    """What a run has become, from good to bad; the rules are in `admin_core.training.outcomes`."""

    CONVERGED = "converged"
    SPIKED = "spiked"
    """It recovered."""
    STALLED = "stalled"
    """It never left the unigram loss."""
    DIVERGED = "diverged"


Stopped = Literal["non_finite", "hopeless", "target", "budget"]
"""Why a run ended before its last step."""


class WatchPoint(Section):
    """What a monitor saw at one step; figures that are not finite are None, and a finding."""

    step: int
    gradient_norm: dict[str, float | None]
    """By the path of the sub-layer, or of the module that a weight outside them belongs to; as the
    optimizer saw the gradients, after clipping."""
    update_ratio: dict[str, float | None]
    """|W* - W| / |W| of the step just taken, by the same paths."""
    dependency: dict[str, float | None]
    """Var[f_i] / Var[omega_i x_{i-1} + f_i] by the path of the sub-layer."""
    largest_attention_logit: dict[str, float | None]
    """|q k^T / sqrt(d_head)| by the path of the attention."""
    largest_output_logit: float | None
    dead_units: dict[str, float]
    """Share of the units of an activation that are as good as never active, by its path."""
    saturated_units: dict[str, float]
    """Share of the units of a tanh or sigmoid whose input is nearly always at an end."""


class RacePoint(Section):
    """Where a run is after one step."""

    step: int
    loss: float | None
    """None where it is not finite."""
    learning_rate: float
    tokens_per_second: float
    """Of the run so far."""
    validation_loss: float | None = None
    """On held-out data, at the steps at which it was measured."""
    watch: WatchPoint | None = None
    """What the monitor saw, at the steps at which it looked."""


class MonitorFinding(Section):
    """One rule that fired at one place, for as long as it kept firing."""

    rule: str
    path: str
    """The sub-layer or module, or ``loss``."""
    first_step: int
    last_step: int
    count: int
    """How many looks it fired in."""
    measured: float | None
    """The value furthest beyond the threshold; None where it is not finite."""
    threshold: float | None
    """That this value was held against; None where finiteness itself is asked for."""
    formula: str
    """When the rule fires."""


class MonitorSection(Section):
    """All that was seen while training."""

    loss_rule: LossPreset
    points: list[WatchPoint]
    findings: list[MonitorFinding]
    """In the order in which they began."""
    findings_left_out: int
    """Findings beyond the number that is kept."""


class ValidationPoint(Section):
    """The loss on held-out data after a step."""

    step: int
    loss: float | None
    """None where it is not finite."""


class SeedResult(Section):
    """One arm with one seed."""

    arm: str
    seed: int
    outcome: RaceOutcome
    diverged_at_step: int | None
    """Of the first loss that is not finite, or the first of those that stay above the first."""
    stopped: Stopped | None
    steps: int
    """Taken."""
    losses: list[float]
    """Of every step, in training mode; where one is not finite, those before it."""
    final_loss: float | None
    """Mean of the last tenth of the steps; none where no loss was finite."""
    validation: list[ValidationPoint]
    spikes: list[int]
    """Steps at which a spike of the loss began."""
    unigram_loss: float
    """What knowing each token's frequency and nothing else would lose."""
    num_parameters: int
    tokens_per_second: float
    """Target tokens over the time in training steps, without validation and checkpoints."""
    seconds: float
    """In training steps."""
    omegas: dict[str, float]
    """By the path of the sub-layer, of the stacks that Admin has profiled."""
    monitor: MonitorSection


class Difference(Section):
    """How far an arm's final loss is above the best arm's, over the seeds that both finished."""

    best: str
    mean: float
    """Of the differences seed by seed; 0 for the best arm itself."""
    standard_error: float | None
    """None for fewer than two seeds."""
    interval: tuple[float, float] | None
    """95 %, by Student's t."""
    num_seeds: int


class ArmResult(Section):
    """One arm over all seeds."""

    name: str
    outcome: RaceOutcome
    """The worst of its seeds' outcomes."""
    outcomes: dict[RaceOutcome, int]
    """How many seeds have each."""
    final_loss: float | None
    """Mean over the seeds that did not diverge; none where all did."""
    standard_error: float | None
    """Of final_loss over those seeds; none for fewer than two."""
    final_loss_seeds: int
    """How many they are."""
    validation_loss: float | None
    """Mean over the same seeds of the last measurement."""
    steps_to_target: float | None
    """Mean over all seeds; none unless all reached the target."""
    reached_target: int
    """Seeds that did."""
    behind_best: Difference | None
    """None where an arm or the best one has no seed in common with the other."""
    tokens_per_second: float
    """Mean over seeds."""
    num_parameters: int
    seeds: list[SeedResult]


class RaceEnvironment(Section):
    """What the numbers depend on beside the spec."""

    trimtab: str
    python: str
    torch: str
    device: str
    data_sha256: str | None
    """Of the text, which differs between Python versions, or of the uploaded file. None for
    synthetic data."""


class RaceReport(Section):
    """A whole race."""

    arms: list[ArmResult]
    """In the order of the spec."""
    target_loss: float | None
    """That steps_to_target counts to; none where none was given and no arm trained."""
    unigram_loss: Annotated[float, Field(ge=0)]
    """Mean over the runs."""
    rules: dict[RaceOutcome, str]
    """How outcomes were decided, in words."""
    conclusion: str
    environment: RaceEnvironment

"""How the model would be trained."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from admin_core.spec.parts import Count, Part, Probability, Real, Whole


class Optimizer(StrEnum):
    ADAM = "adam"
    ADAMW = "adamw"
    RADAM = "radam"
    SGD = "sgd"
    SCHEDULE_FREE = "schedule_free"
    """AdamW whose weights are an average of its steps (Defazio et al. 2024)."""


class Schedule(StrEnum):
    """How the learning rate goes on after its linear warm-up."""

    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"
    INVERSE_SQRT = "inverse_sqrt"


class Autocast(StrEnum):
    """The number format of matrix products in training."""

    NONE = "none"
    """float32, as the weights."""
    BF16 = "bf16"
    """bfloat16 where it is safe; weights, norms and the loss stay float32."""


class TrainingSpec(Part):
    """How the model would be trained."""

    optimizer: Optimizer = Optimizer.ADAM
    learning_rate: Annotated[Real, Field(gt=0, le=1e6)] = 1e-3
    """The peak of the schedule."""
    betas: tuple[Probability, Probability] = (0.9, 0.98)
    """Decay of Adam's first and second moment."""
    epsilon: Annotated[Real, Field(gt=0, le=1)] = 1e-8
    """Added to the root of Adam's second moment."""
    momentum: Probability = 0.0
    """Of SGD."""
    weight_decay: Annotated[Real, Field(ge=0, le=1e3)] = 0.0
    schedule: Schedule = Schedule.INVERSE_SQRT
    warmup_steps: Annotated[Whole, Field(le=10**9)] = 4_000
    steps: Annotated[Count, Field(le=10**9)] = 100_000
    batch_size: Annotated[Count, Field(le=1_000_000)] = 16
    """Sequences per step."""
    sequence_length: Annotated[Count, Field(ge=2, le=1_000_000)] = 64
    """Tokens per sequence, in each stack."""
    accumulation: Annotated[Count, Field(le=10_000)] = 1
    """Batches whose gradients are averaged in one step."""
    clip_norm: Annotated[Real, Field(gt=0, le=1e9)] | None = None
    """The gradient's norm is cut to this; not at all unless given."""
    label_smoothing: Probability = 0.0
    """Share of each target's weight that is spread evenly over the vocabulary."""
    autocast: Autocast = Autocast.NONE

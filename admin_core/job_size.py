"""How much memory and time a job takes, worked out from its spec before anything is allocated.

Weights and what training keeps beside them are counted exactly. What a forward pass leaves for the
backward pass is counted sub-layer by sub-layer, as the built-in Transformer leaves it; how often
either is there at a time is measured (`python -m bench.job_memory`). Of an architecture of
Transformers only the weights are known here, and no more of them than there are: what is said is
then the least that the job takes.
"""

import math
from dataclasses import dataclass

from admin_core.errors import LimitExceededError
from admin_core.race_size import step_flops
from admin_core.race_spec import RunSpec
from admin_core.size import num_parameters, streamed_bytes
from admin_core.spec import DiagnosisSpec, Stack, Subject, TransformerSpec

NUMBER_BYTES = 4


def activation_numbers(spec: Subject) -> int:
    """Numbers that one forward pass keeps for the backward pass."""
    model, training = spec.model, spec.training
    tokens = training.batch_size * training.sequence_length
    if not isinstance(model, TransformerSpec):
        return 0
    length, d_model = training.sequence_length, model.d_model
    total = 0
    for stack, layers in model.layers.items():
        sublayers = model.sublayers_per_layer(stack)
        # Norm, q, k, v, heads' output, projection, dropout's mask and the sum.
        attention = tokens * (8 * d_model) + tokens * model.num_heads * length
        feed_forward = tokens * (5 * d_model + 3 * model.feed_forward_width)
        total += layers * ((sublayers - 1) * attention + feed_forward)
    # Logits, their logarithms and the gradient.
    answers = tokens if Stack.DECODER in model.layers or len(model.layers) == 1 else 0
    return total + 3 * answers * model.vocab_size


WEIGHTS_OF_DIAGNOSIS = 4.8
ACTIVATIONS_OF_DIAGNOSIS = 0.9
WEIGHTS_OF_RUN = 5.0
ACTIVATIONS_OF_RUN = 0.9


def diagnosis_bytes(spec: DiagnosisSpec) -> int:
    """Memory of a diagnosis at its largest, beside that of its process."""
    return _bytes(spec, WEIGHTS_OF_DIAGNOSIS, ACTIVATIONS_OF_DIAGNOSIS)


def run_bytes(run: RunSpec) -> int:
    """Memory of a race's run at its largest, beside that of its process."""
    return _bytes(run, WEIGHTS_OF_RUN, ACTIVATIONS_OF_RUN)


def _bytes(spec: Subject, weights: float, activations: float) -> int:
    numbers = weights * num_parameters(spec.model) + activations * activation_numbers(spec)
    return int(NUMBER_BYTES * numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSizeLimits:
    """What one job may take of a machine."""

    max_bytes: int | None
    """Main memory beside that of its process, ``TRIMTAB_MAX_MEMORY_BYTES``; unlimited if none."""

    max_seconds: float
    """``TRIMTAB_JOB_TIME_LIMIT_SECONDS``."""

    flops_per_second: float
    """What the machine does at its very best, ``TRIMTAB_FLOPS_PER_SECOND``."""


def check_diagnosis_size(spec: DiagnosisSpec, limits: JobSizeLimits, *, streamed: bool) -> None:
    """Return if a diagnosis fits.

    Args:
        streamed: whether its model is not built whole.

    Raises:
        LimitExceededError: it needs more memory, or even at the machine's best more time.
    """
    # Whatever the analyses are, there is a forward pass at least: a third of a training step.
    num_bytes = diagnosis_bytes(spec)
    if streamed and isinstance(spec.model, TransformerSpec):
        num_bytes = streamed_bytes(spec, spec.model)
    _check("model", num_bytes, step_flops(spec) / 3, limits)


def check_run_size(run: RunSpec, limits: JobSizeLimits, *, field: str) -> None:
    """Return if a race's run fits.

    Raises:
        LimitExceededError: it needs more memory, or even at the machine's best more time.
    """
    _check(field, run_bytes(run), run.training.steps * step_flops(run), limits)


def _check(field: str, num_bytes: int, flops: float, limits: JobSizeLimits) -> None:
    if limits.max_bytes is not None and num_bytes > limits.max_bytes:
        raise LimitExceededError(
            field, "bytes of memory", num_bytes, limits.max_bytes, "TRIMTAB_MAX_MEMORY_BYTES"
        )
    seconds = flops / limits.flops_per_second
    if seconds > limits.max_seconds:
        raise LimitExceededError(
            field,
            "seconds",
            math.ceil(seconds),
            int(limits.max_seconds),
            "TRIMTAB_JOB_TIME_LIMIT_SECONDS",
        )

import pytest

from admin_core.errors import LimitExceededError
from admin_core.job_size import (
    JobSizeLimits,
    check_diagnosis_size,
    check_run_size,
    diagnosis_bytes,
    run_bytes,
)
from admin_core.race_spec import RaceSpec
from admin_core.size import num_parameters
from admin_core.spec import DiagnosisSpec

SPEC = DiagnosisSpec.model_validate(
    {
        "model": {
            "kind": "transformer",
            "architecture": "encoder_only",
            "encoder_layers": 6,
            "d_model": 512,
            "num_heads": 8,
            "vocab_size": 8192,
        },
        "training": {"batch_size": 8, "sequence_length": 64, "steps": 100},
    }
)
RUN = RaceSpec.model_validate(
    {"model": SPEC.model, "training": SPEC.training, "arms": ["admin"], "seeds": 1}
).run(0)


def limits(**values: float) -> JobSizeLimits:
    return JobSizeLimits(
        **{"max_bytes": None, "max_seconds": 3600, "flops_per_second": 4e11} | values  # type: ignore[arg-type]
    )


def test_training_takes_weights_gradients_and_two_moments_at_least() -> None:
    assert run_bytes(RUN) > 4 * 4 * num_parameters(RUN.model)


def test_more_tokens_and_longer_ones_take_more_memory() -> None:
    def of(batch_size: int, sequence_length: int) -> int:
        training = SPEC.training.model_copy(
            update={"batch_size": batch_size, "sequence_length": sequence_length}
        )
        return diagnosis_bytes(SPEC.model_copy(update={"training": training}))

    # The last of the three has as many tokens as the second, and longer rows of attention.
    assert of(8, 64) < of(64, 64) < of(8, 512)


def test_what_needs_more_memory_is_refused_with_both_figures() -> None:
    needed = diagnosis_bytes(SPEC)
    check_diagnosis_size(SPEC, limits(max_bytes=needed), streamed=False)
    with pytest.raises(LimitExceededError, match=f"{needed:,}") as caught:
        check_diagnosis_size(SPEC, limits(max_bytes=needed - 1), streamed=False)
    assert caught.value.setting == "TRIMTAB_MAX_MEMORY_BYTES"
    with pytest.raises(LimitExceededError, match="arms.0"):
        check_run_size(RUN, limits(max_bytes=10**8), field="arms.0.patch.model")


def test_what_is_profiled_a_sublayer_at_a_time_needs_less() -> None:
    needed = diagnosis_bytes(SPEC)
    check_diagnosis_size(SPEC, limits(max_bytes=needed // 3), streamed=True)


def test_what_needs_more_time_even_at_the_best_is_refused() -> None:
    with pytest.raises(LimitExceededError, match="seconds") as caught:
        check_run_size(RUN, limits(flops_per_second=1e6), field="arms.0.patch.model")
    assert caught.value.setting == "TRIMTAB_JOB_TIME_LIMIT_SECONDS"

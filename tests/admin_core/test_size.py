import pytest

from admin_core.errors import LimitExceededError
from admin_core.size import Limits, check_limits, num_parameters, num_sublayers
from admin_core.spec import DiagnosisSpec, Stack, TransformerSpec
from tests.admin_core.specs import small


def test_bert_base_has_the_parameters_that_its_paper_says() -> None:
    bert = TransformerSpec.model_validate(
        {
            "architecture": "encoder_only",
            "encoder_layers": 12,
            "d_model": 768,
            "num_heads": 12,
            "vocab_size": 30_522,
            "positions": "learned",
            "max_positions": 512,
        }
    )
    assert num_parameters(bert) == pytest.approx(110e6, rel=0.02)


def test_depth_is_counted_in_sublayers_per_stack() -> None:
    assert num_sublayers(small(encoder_layers=5, decoder_layers=7)) == {
        Stack.ENCODER: 10,
        Stack.DECODER: 21,
    }


class TestLimits:
    def test_a_spec_at_its_limits_passes(self) -> None:
        spec = DiagnosisSpec(model=small())
        check_limits(spec, Limits(max_parameters=num_parameters(spec.model), max_tokens=16 * 64))

    def test_too_many_parameters_are_refused_with_both_figures(self) -> None:
        spec = DiagnosisSpec(model=small())
        parameters = num_parameters(spec.model)
        with pytest.raises(LimitExceededError, match=f"{parameters:,} .* {parameters - 1:,}"):
            check_limits(spec, Limits(max_parameters=parameters - 1, max_tokens=10**9))

    def test_too_many_tokens_are_refused_by_the_field(self) -> None:
        spec = DiagnosisSpec(model=small())
        with pytest.raises(LimitExceededError) as caught:
            check_limits(spec, Limits(max_parameters=10**9, max_tokens=1_023))
        assert caught.value.field == "training.batch_size"

    def test_the_largest_spec_is_counted_without_overflow(self) -> None:
        spec = small(encoder_layers=5_000, d_model=65_536, d_ff=1_048_576, num_heads=4_096)
        assert num_parameters(spec) > 10**14

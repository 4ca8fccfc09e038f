import admin_torch
import pytest

from admin_core.schemes import (
    closed_form_omega,
    deepnorm_alpha,
    deepnorm_beta,
    sub_ln_gain,
    t_fixup_embedding_scale,
    t_fixup_scale,
)
from admin_core.spec import OutputChangeScale, Stack

ENCODER, DECODER = Stack.ENCODER, Stack.DECODER


@pytest.mark.parametrize("scale", list(OutputChangeScale))
@pytest.mark.parametrize("n", [1, 2, 3, 12, 18, 24, 36, 54, 100, 120, 200, 300, 10_000])
def test_closed_forms_are_those_of_the_admin_torch_package(
    n: int, scale: OutputChangeScale
) -> None:
    theirs = admin_torch.calculate_init(n, scale.value.replace(" ", ""))
    assert closed_form_omega(n, scale) == pytest.approx(theirs, rel=1e-15)


@pytest.mark.parametrize(
    ("scale", "total"), [("O(1)", 0.995), ("O(log n)", 200 * 5.303 / 201), ("O(n)", 100.0)]
)
def test_closed_forms_give_the_sum_of_beta_squared_that_they_are_named_for(
    scale: str, total: float
) -> None:
    omega = closed_form_omega(200, OutputChangeScale(scale))
    assert 200 / (1 + omega**2) == pytest.approx(total, rel=1e-3)


def test_a_stack_without_sublayers_has_no_omega() -> None:
    with pytest.raises(ValueError, match="at least one sub-layer, not 0"):
        closed_form_omega(0, OutputChangeScale.LOGARITHMIC)


@pytest.mark.parametrize(
    ("layers", "alpha_e", "beta_e", "alpha_d", "beta_d"),
    [
        ((6, 6), 1.418, 0.497, 2.060, 0.343),
        ((12, 12), 1.761, 0.400, 2.449, 0.289),
        ((18, 18), 1.999, 0.353, 2.711, 0.261),
        ((60, 12), 2.633, 0.268, 2.449, 0.289),
        ((100, 100), 3.416, 0.206, 4.162, 0.170),
    ],
)
def test_deepnorm_of_an_encoder_decoder(
    layers: tuple[int, int], alpha_e: float, beta_e: float, alpha_d: float, beta_d: float
) -> None:
    assert deepnorm_alpha(ENCODER, *layers) == pytest.approx(alpha_e, abs=5e-4)
    assert deepnorm_beta(ENCODER, *layers) == pytest.approx(beta_e, abs=5e-4)
    assert deepnorm_alpha(DECODER, *layers) == pytest.approx(alpha_d, abs=5e-4)
    assert deepnorm_beta(DECODER, *layers) == pytest.approx(beta_d, abs=5e-4)


@pytest.mark.parametrize("other", [None, 0])
def test_a_lone_stack_has_the_same_formulas_as_encoder_and_as_decoder(other: int | None) -> None:
    for formula in (
        deepnorm_alpha,
        deepnorm_beta,
        sub_ln_gain,
        t_fixup_scale,
        t_fixup_embedding_scale,
    ):
        assert formula(ENCODER, 18, other) == formula(DECODER, other, 18)
    assert deepnorm_alpha(ENCODER, 8, other) == 2.0
    assert deepnorm_beta(ENCODER, 2, other) == 0.5


def test_sub_ln_and_t_fixup_of_an_encoder_decoder() -> None:
    assert sub_ln_gain(DECODER, 6, 6) == pytest.approx(1.7001, abs=1e-4)
    assert sub_ln_gain(ENCODER, 6, 6) == pytest.approx(1.5473, abs=1e-4)
    assert t_fixup_scale(ENCODER, 16, 9) == pytest.approx(0.67 / 2)
    assert t_fixup_scale(DECODER, 16, 9) == pytest.approx(1 / 3)
    assert t_fixup_embedding_scale(ENCODER, 9, 16) == pytest.approx(1 / 3)


def test_a_model_without_any_stack_has_no_scales() -> None:
    with pytest.raises(ValueError, match="an encoder, a decoder, or both"):
        deepnorm_alpha(ENCODER, None, 0)

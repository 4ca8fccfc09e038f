import pytest

from admin_core.applicability import applicability
from admin_core.spec import Scheme, Stack
from tests.admin_core.specs import small


@pytest.mark.parametrize("scheme", ["post_ln", "admin"])
def test_every_post_ln_stack_takes_omegas(scheme: str) -> None:
    found = applicability(small(scheme=scheme))
    assert found.stacks == (Stack.ENCODER, Stack.DECODER)
    assert found.reason is None


@pytest.mark.parametrize("scheme", sorted(set(Scheme) - {Scheme.POST_LN, Scheme.ADMIN}))
def test_every_other_scheme_takes_none_and_says_why(scheme: Scheme) -> None:
    found = applicability(small("decoder_only", scheme=scheme))
    assert found.stacks == ()
    assert found.reason is not None
    assert f"The decoder is {scheme.value}: " in found.reason


def test_a_hybrid_takes_omegas_where_it_is_post_ln() -> None:
    found = applicability(small(scheme={"encoder": "post_ln", "decoder": "pre_ln"}))
    assert found.stacks == (Stack.ENCODER,)
    assert found.reason is not None
    assert found.reason.startswith("The decoder is pre_ln")


def test_trained_weights_take_none() -> None:
    found = applicability(small(scheme="post_ln"), pretrained=True)
    assert found.stacks == ()
    assert found.reason is not None
    assert "trained" in found.reason

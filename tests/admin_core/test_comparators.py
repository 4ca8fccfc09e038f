from admin_core.comparators import comparators
from admin_core.schemes import deepnorm_alpha
from admin_core.spec import OutputChangeScale, Stack
from tests.admin_core.specs import small


def test_every_stack_has_constants_from_its_own_depth() -> None:
    found = comparators(small(encoder_layers=6, decoder_layers=4))

    assert [(stack, c.num_sublayers) for stack, c in found.items()] == [
        (Stack.ENCODER, 12),
        (Stack.DECODER, 12),
    ]
    assert found[Stack.DECODER].deepnorm.alpha == deepnorm_alpha(Stack.DECODER, 6, 4)
    assert found[Stack.ENCODER].closed_form[OutputChangeScale.CONSTANT] == 12**0.5
    assert found[Stack.ENCODER].rezero_gate == 0


def test_a_lone_stack_is_the_only_one_compared() -> None:
    assert list(comparators(small("decoder_only"))) == [Stack.DECODER]

"""What can be checked of the published model without its file, and without minutes of time."""

from admin_core.size import num_parameters, num_sublayers
from admin_core.spec import ClinicOmega, Stack, TransformerSpec
from bench.published_omegas import paper_spec


def test_the_model_has_200_and_300_sublayers_and_the_clinic_convention() -> None:
    spec = paper_spec(seed=0, seeds=3)
    assert isinstance(spec.model, TransformerSpec)
    assert num_sublayers(spec.model) == {Stack.ENCODER: 200, Stack.DECODER: 300}
    assert spec.omega == ClinicOmega(seeds=3)


def test_two_of_the_models_fit_in_8_gib_and_three_do_not() -> None:
    """Of several models to average, the first and one other are in memory at a time."""
    gib = 4 * num_parameters(paper_spec(seed=0, seeds=3).model) / 2**30
    assert 2 * gib < 6
    assert 3 * gib > 8

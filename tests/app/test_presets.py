import pytest

from admin_core.models.huggingface import count_parameters, sketch
from admin_core.size import num_parameters
from admin_core.spec import DiagnosisSpec, HuggingFaceSpec
from app.presets import PRESETS, Preset
from tests.service import Service

BY_NAME = {preset.name: preset for preset in PRESETS}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_every_preset_can_be_posted_as_it_is(preset: Preset) -> None:
    sent = DiagnosisSpec.model_validate({"model": preset.model.model_dump(mode="json")})
    assert sent.model == preset.model


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(PRESETS)


@pytest.mark.parametrize(
    ("name", "millions", "tolerance"),
    [("bert-base", 109, 0.03), ("gpt2", 124, 0.03), ("transformer-base", 63, 0.03)],
)
def test_well_known_shapes_have_about_their_published_size(
    name: str, millions: float, tolerance: float
) -> None:
    # Learned positions, token types and poolers are what the shapes lack.
    assert num_parameters(BY_NAME[name].model) / 1e6 == pytest.approx(millions, rel=tolerance)


@pytest.mark.parametrize(
    ("name", "millions"), [("huggingface-gpt2", 124.4), ("huggingface-t5-small", 60.5)]
)
def test_architectures_of_transformers_have_their_published_size(
    name: str, millions: float
) -> None:
    model = BY_NAME[name].model
    assert isinstance(model, HuggingFaceSpec)
    assert count_parameters(sketch(model)) / 1e6 == pytest.approx(millions, abs=0.1)


def test_the_api_lists_them_all(service: Service) -> None:
    listed = service.http.get("/v1/presets").json()["presets"]
    assert [preset["name"] for preset in listed] == list(BY_NAME)

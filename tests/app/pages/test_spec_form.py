import json
from typing import Any

import pytest

from admin_core.spec import DiagnosisSpec
from app.pages.spec_form import form_of_spec, spec_of_form
from app.presets import PRESETS
from tests.service import LONG, SMALL

SPECS: list[dict[str, Any]] = [
    SMALL,
    LONG,
    SMALL | {"data": {"kind": "synthetic", "name": "sort"}, "analyses": ["omega", "edges"]},
    SMALL | {"data": {"kind": "text", "lengths": "varied"}, "seed": 2**62},
    SMALL | {"training": {"betas": [0.5, 0.75], "clip_norm": 0.25, "learning_rate": 3e-05}},
    *({"model": preset.model.model_dump(mode="json", exclude_unset=True)} for preset in PRESETS),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: json.dumps(spec["model"])[:60])
def test_a_spec_goes_into_the_form_and_comes_back_the_same(spec: dict[str, Any]) -> None:
    form = form_of_spec(spec) | {"json": [json.dumps(spec)]}
    back = DiagnosisSpec.model_validate(spec_of_form(form))
    assert back == DiagnosisSpec.model_validate(spec)


def test_layers_that_the_architecture_has_not_are_left_out() -> None:
    form = form_of_spec(SMALL) | {"json": ["{}"], "model.decoder_layers": ["6"]}
    assert "decoder_layers" not in spec_of_form(form)["model"]

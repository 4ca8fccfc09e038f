import json
import math
from typing import Any

import pytest
from pydantic import ValidationError

from admin_core.spec import DiagnosisSpec, Stack, TransformerSpec
from tests.admin_core.specs import small

MODEL: dict[str, Any] = {
    "kind": "transformer",
    "architecture": "encoder_decoder",
    "encoder_layers": 2,
    "decoder_layers": 3,
    "d_model": 16,
    "num_heads": 4,
}


def refused_field(**request: Any) -> str:
    """The dotted path of the one field that a request is refused for."""
    with pytest.raises(ValidationError) as caught:
        DiagnosisSpec.model_validate({"model": MODEL} | request)
    errors = caught.value.errors()
    assert len(errors) == 1, errors
    return ".".join(str(part) for part in errors[0]["loc"])


def test_everything_but_the_model_has_a_default() -> None:
    spec = DiagnosisSpec.model_validate({"model": MODEL})
    assert spec.seed == 0
    assert spec.training.learning_rate == 1e-3


def test_a_spec_survives_json() -> None:
    spec = DiagnosisSpec.model_validate({"model": MODEL})
    assert DiagnosisSpec.model_validate_json(spec.model_dump_json()) == spec
    assert DiagnosisSpec.model_validate(json.loads(spec.model_dump_json())) == spec


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"num_heads": 3}, "num_heads"),
        ({"num_kv_heads": 3}, "num_kv_heads"),
        ({"d_model": 0}, "d_model"),
        ({"d_model": -16}, "d_model"),
        ({"d_model": 10**400}, "d_model"),
        ({"d_model": "16"}, "d_model"),
        ({"d_model": True}, "d_model"),
        ({"d_model": 16.5}, "d_model"),
        ({"d_ff": 0}, "d_ff"),
        ({"dropout": math.nan}, "dropout"),
        ({"dropout": math.inf}, "dropout"),
        ({"dropout": 1.0}, "dropout"),
        ({"encoder_layers": None}, "encoder_layers"),
        ({"architecture": "decoder_only"}, "encoder_layers"),
        ({"width": 16}, "width"),
        ({"vocab_size": 255}, "vocab_size"),
        ({"parallel": True}, "parallel"),
        ({"positions": "rotary", "num_heads": 16}, "positions"),
        ({"kind": "huggingfaces"}, "kind"),
    ],
)
def test_a_model_that_cannot_be_is_refused_by_the_field(change: dict[str, Any], field: str) -> None:
    assert refused_field(model=MODEL | change) == f"model.{field}"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"learning_rate": 0}, "learning_rate"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"learning_rate": 10**400}, "learning_rate"),
        ({"betas": [0.9, 1.0]}, "betas.1"),
        ({"batch_size": 0}, "batch_size"),
        ({"sequence_length": 1}, "sequence_length"),
        ({"optimizer": "lion"}, "optimizer"),
        ({"lr": 1e-3}, "lr"),
    ],
)
def test_training_that_cannot_be_is_refused_by_the_field(
    change: dict[str, Any], field: str
) -> None:
    assert refused_field(training=change) == f"training.{field}"


def test_a_scheme_for_each_stack_needs_two_stacks() -> None:
    schemes = {"encoder": "post_ln", "decoder": "pre_ln"}
    hybrid = TransformerSpec.model_validate(MODEL | {"scheme": schemes})
    assert [hybrid.scheme_of(stack) for stack in Stack] == ["post_ln", "pre_ln"]
    with pytest.raises(ValidationError, match="one scheme's name"):
        small("decoder_only", scheme=schemes)


def test_learned_positions_must_reach_the_end_of_a_sequence() -> None:
    learned = MODEL | {"positions": "learned", "max_positions": 63}
    assert refused_field(model=learned) == "model.max_positions"


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert small(d_model=16.0).d_model == 16


def test_a_decoder_counts_three_sublayers_only_where_it_cross_attends() -> None:
    assert small().sublayers_per_layer(Stack.DECODER) == 3
    assert small("decoder_only").sublayers_per_layer(Stack.DECODER) == 2


class TestDataSets:
    @pytest.mark.parametrize(
        "name",
        [
            "harbour",
            "harbour/log/x",
            "/etc/passwd",
            "../log",
            "harbour/..",
            "harbour/a..b",
            "./log",
            "http://x/y",
            "http:/x",
            "hf:/x",
            "harbour/log@main",
            "harbour/lo g",
            "harbour\\log",
            "harbour/log\n",
            "härbour/log",
            "",
        ],
    )
    def test_of_the_hub_have_names_that_lead_nowhere_else(self, name: str) -> None:
        assert refused_field(data={"kind": "hub", "name": name}) == "data.hub.name"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("config", "../x"),
            ("config", "a/b"),
            ("revision", "refs/pr/1"),
            ("revision", "a..b"),
            ("split", "train[:1]"),
            ("split", "../train"),
            ("columns", []),
            ("columns", ["a", "b", "c"]),
            ("trust_remote_code", True),
            ("data_files", "x"),
        ],
    )
    def test_of_the_hub_take_nothing_that_leads_elsewhere(self, field: str, value: object) -> None:
        data = {"kind": "hub", "name": "harbour/log", field: value}
        assert refused_field(data=data).startswith(f"data.hub.{field}")

    @pytest.mark.parametrize(
        "tokenizer",
        [
            {"name": "bytes", "vocab_size": 300},
            {"name": "bpe", "vocab_size": 256},
            {"name": "bpe", "vocab_size": 65_537},
        ],
    )
    def test_have_vocabularies_that_suit_their_tokenizers(
        self, tokenizer: dict[str, object]
    ) -> None:
        data = {"kind": "hub", "name": "harbour/log", "tokenizer": tokenizer}
        assert refused_field(data=data) == "data.hub.tokenizer.vocab_size"

    @pytest.mark.parametrize("dataset_id", ["", "x", "../x", "ds-" + "0" * 31, "ds-" + "G" * 32])
    def test_that_were_uploaded_have_an_id_of_one_form(self, dataset_id: str) -> None:
        assert refused_field(data={"kind": "upload", "id": dataset_id}) == "data.upload.id"

    def test_are_denoised_by_an_encoder_decoder_alone(self) -> None:
        model = small("decoder_only").model_dump()
        data = {"kind": "upload", "id": "ds-" + "0" * 32, "objective": "denoising"}
        assert refused_field(model=model, data=data) == "model.architecture"

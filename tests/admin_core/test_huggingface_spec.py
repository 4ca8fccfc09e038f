import json
from typing import Any

import pytest
from pydantic import ValidationError

from admin_core.spec import DiagnosisSpec, HuggingFaceSpec, TransformerSpec
from app.field_errors import field_errors
from tests.admin_core.huggingface import BERT


def errors_of(model: Any) -> list[tuple[str, str]]:
    """Field and rule of each error."""
    body = {"model": model}
    with pytest.raises(ValidationError) as caught:
        DiagnosisSpec.model_validate(body)
    return [(error.field, error.type) for error in field_errors(caught.value.errors(), body)]


def of(**config: Any) -> dict[str, Any]:
    return {"kind": "huggingface", "config": {"model_type": "bert", **config}}


def test_a_config_is_kept_as_it_was_pasted() -> None:
    spec = DiagnosisSpec.model_validate({"model": {"kind": "huggingface", "config": BERT}})
    assert isinstance(spec.model, HuggingFaceSpec)
    assert spec.model.config == BERT
    assert DiagnosisSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_kind_is_not_needed_for_the_built_in_transformer() -> None:
    model = {"architecture": "decoder_only", "decoder_layers": 2, "d_model": 16, "num_heads": 2}
    assert isinstance(DiagnosisSpec.model_validate({"model": model}).model, TransformerSpec)


@pytest.mark.parametrize(
    ("model", "field", "rule"),
    [
        ({"kind": "perceptron"}, "model.kind", "unknown_kind"),
        ({"kind": []}, "model.kind", "unknown_kind"),
        ({"kind": "huggingface"}, "model.config", "missing"),
        ({"kind": "huggingface", "config": []}, "model.config", "dict_type"),
        ({"kind": "huggingface", "config": {}}, "model.config.model_type", "missing"),
        (of(model_type=7), "model.config.model_type", "string_type"),
        (of() | {"d_model": 5}, "model.d_model", "extra_forbidden"),
        (of(auto_map={"AutoModel": "m.M"}), "model.config.auto_map", "remote_code"),
        (of(trust_remote_code=True), "model.config.trust_remote_code", "remote_code"),
        (
            of(text_config={"auto_map": {"AutoModel": "m.M"}}),
            "model.config.text_config.auto_map",
            "remote_code",
        ),
        (of(num_hidden_layers=10**6), "model.config.num_hidden_layers", "count_too_large"),
        (of(n_layer=5_001), "model.config.n_layer", "count_too_large"),
        (of(depths=[2, 10**9]), "model.config.depths.1", "count_too_large"),
        (of(num_labels=10**9), "model.config.num_labels", "too_many_labels"),
        (of(hidden_size=10**300), "model.config.hidden_size", "number_too_large"),
        (of(layer_norm_eps=float("nan")), "model.config.layer_norm_eps", "finite_number"),
        (of(limits=[0.0, float("inf")]), "model.config.limits.1", "finite_number"),
        (of() | {"scheme": "rezero"}, "model.scheme", "scheme_of_another_model"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(
    model: dict[str, Any], field: str, rule: str
) -> None:
    assert errors_of(model) == [(field, rule)]


def test_every_fault_is_named_at_once() -> None:
    faults = errors_of(of(num_hidden_layers=10**6, auto_map={"AutoModel": "m.M"}))
    assert [field for field, _ in faults] == [
        "model.config.num_hidden_layers",
        "model.config.auto_map",
    ]


def test_a_config_without_end_is_refused() -> None:
    deep: Any = 0
    for _ in range(50):
        deep = [deep]
    assert errors_of(of(deep=deep))[0][1] == "config_too_deep"
    assert errors_of(of(long=[0] * 100_001)) == [("model.config", "config_too_long")]


@pytest.mark.parametrize("field", ["head_dim", "vocab_size", "rope_theta", "num_mel_bins"])
def test_sizes_are_no_counts(field: str) -> None:
    DiagnosisSpec.model_validate({"model": of(**{field: 1_000_000})})


def test_the_schema_says_what_a_config_needs() -> None:
    schema = json.dumps(DiagnosisSpec.model_json_schema())
    assert '"required": ["model_type"]' in schema

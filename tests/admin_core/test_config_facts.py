import pytest
from transformers.models.auto import configuration_auto

from admin_core.config_facts import known_architectures, parameters_at_least
from admin_core.errors import InvalidSpecError, LimitExceededError
from admin_core.models.huggingface import count_parameters, sketch
from admin_core.size import Limits, check_limits
from admin_core.spec import DiagnosisSpec
from tests.admin_core.huggingface import BART, BERT, CLIP, GPT2, MAMBA, T5, VIT, spec_of

LIMITS = Limits(max_parameters=10**9, max_tokens=10**5)


def test_the_architectures_are_those_of_the_installed_library() -> None:
    names = vars(configuration_auto)["CONFIG_MAPPING_NAMES"]
    assert known_architectures() == set(names)


@pytest.mark.parametrize(
    "config",
    [
        *(BERT, GPT2, T5, BART, VIT, MAMBA, CLIP),
        {"model_type": "bert"} | {k: v for k, v in BERT.items() if k == "vocab_size"},
        {"model_type": "albert", "hidden_size": 768, "embedding_size": 128, "vocab_size": 3000}
        | {"num_hidden_groups": 1, "num_hidden_layers": 12},
        {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 3, "vocab_size": 300}
        | {"num_attention_heads": 4, "num_key_value_heads": 1, "intermediate_size": 64},
        {"model_type": "opt", "hidden_size": 64, "word_embed_proj_dim": 16, "vocab_size": 300}
        | {"num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64},
    ],
    ids=lambda config: config["model_type"],
)
def test_a_model_has_no_fewer_parameters_than_its_config_shows(config: dict[str, object]) -> None:
    spec = spec_of(config)
    assert 0 <= parameters_at_least(spec) <= count_parameters(sketch(spec))


def test_an_unknown_architecture_is_refused_with_those_that_are_near() -> None:
    spec = DiagnosisSpec(model=spec_of({"model_type": "bret"}))
    with pytest.raises(InvalidSpecError, match="bert") as caught:
        check_limits(spec, LIMITS)
    assert caught.value.field == "model.config.model_type"


def test_a_model_that_is_far_too_large_is_refused_by_its_config_alone() -> None:
    large = spec_of({"model_type": "llama", "hidden_size": 8192, "num_hidden_layers": 80})
    with pytest.raises(LimitExceededError, match="TRIMTAB_MAX_PARAMETERS"):
        check_limits(DiagnosisSpec(model=large), LIMITS)

import os
import time
from typing import Any

import pytest
import torch

from admin_core.errors import InvalidSpecError, LimitExceededError
from admin_core.models.heads import Task
from admin_core.models.huggingface import (
    build_huggingface,
    count_parameters,
    head_of,
    read_config,
    sketch,
)
from admin_core.size import Limits
from tests.admin_core.huggingface import BERT, CLIP, GPT2, MAMBA, T5, VIT, WAV2VEC2, spec_of


def test_the_seed_alone_decides_the_weights() -> None:
    torch.manual_seed(1)
    first = build_huggingface(spec_of(BERT), seed=0).state_dict()
    torch.manual_seed(2)
    again = build_huggingface(spec_of(BERT), seed=0).state_dict()
    other = build_huggingface(spec_of(BERT), seed=1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    assert not torch.equal(first[name], other[name])


def test_building_leaves_the_process_s_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_huggingface(spec_of(BERT), seed=0)
    assert torch.equal(torch.rand(3), expected)


def test_the_hub_is_out_of_reach() -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("config", "named", "expected", "task"),
    [
        (BERT, None, "BertForMaskedLM", Task.MASKED_TEXT),
        (BERT, "BertModel", "BertForMaskedLM", Task.MASKED_TEXT),
        (BERT, "BertForPreTraining", "BertForMaskedLM", Task.MASKED_TEXT),
        (BERT, "Unheard", "BertForMaskedLM", Task.MASKED_TEXT),
        (BERT, "BertForQuestionAnswering", "BertForQuestionAnswering", Task.SPAN),
        (BERT, "BertForSequenceClassification", "BertForSequenceClassification", Task.TEXT_CLASS),
        (BERT | {"is_decoder": True}, None, "BertLMHeadModel", Task.NEXT_TOKEN),
        (GPT2, None, "GPT2LMHeadModel", Task.NEXT_TOKEN),
        (T5, "T5Model", "T5ForConditionalGeneration", Task.TEXT_TO_TEXT),
        (VIT, None, "ViTForImageClassification", Task.IMAGE_CLASS),
        (WAV2VEC2, None, "Wav2Vec2ForCTC", Task.SPEECH_TOKENS),
        (CLIP, "CLIPModel", "CLIPModel", Task.IMAGE_AND_TEXT),
        (MAMBA, None, "MambaForCausalLM", Task.NEXT_TOKEN),
        ({"model_type": "patchtst"}, None, "PatchTSTModel", Task.NOTHING),
    ],
)
def test_the_head_is_the_config_s_or_the_architecture_s_own(
    config: dict[str, Any], named: str | None, expected: str, task: Task
) -> None:
    architectures = {"architectures": [named]} if named else {}
    head = head_of(read_config(spec_of(config, **architectures)))
    assert (head.model_class.__name__, head.task) == (expected, task)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (BERT | {"num_attention_heads": 5}, "hidden_size"),
        (BERT | {"hidden_size": "wide"}, "hidden_size"),
        (BERT | {"hidden_size": -32}, "hidden_size"),
        (BERT | {"hidden_act": "gulu"}, "hidden_act"),
        (BERT | {"id2label": {"a": "b"}}, "id2label.a"),
        (GPT2 | {"n_embd": 65}, "n_embd"),
        (GPT2 | {"activation_function": "gulu"}, "activation_function"),
        (
            {"model_type": "llama", "hidden_size": 65, "num_attention_heads": 4},
            "hidden_size",
        ),
        ({"model_type": "llama", "rope_scaling": {"type": "gulu"}}, "rope_scaling.type"),
        ({"model_type": "bert", "limits": {"__float__": "much"}}, "limits.__float__"),
    ],
)
def test_what_the_library_refuses_is_named(config: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        sketch(spec_of(config))
    assert caught.value.field == f"model.config.{field}"
    assert "gulu" not in str(caught.value)
    assert "wide" not in str(caught.value)


def test_how_a_checkpoint_was_stored_means_nothing_for_fresh_weights() -> None:
    stored = {
        "torch_dtype": "bfloat16",
        "quantization_config": {"quant_method": "fp8"},
        "_attn_implementation": "flash_attention_2",
        "return_dict": False,
        "use_cache": True,
    }
    model = build_huggingface(spec_of(GPT2, **stored), seed=0)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_nothing_is_left_out_by_chance() -> None:
    config = read_config(spec_of(WAV2VEC2, layerdrop=0.5, apply_spec_augment=True))
    assert (config.layerdrop, config.apply_spec_augment) == (0.0, False)


def test_infinity_is_written_as_the_library_writes_it() -> None:
    config = read_config(
        spec_of({"model_type": "mamba2", "time_step_limit": [0.0, {"__float__": "Infinity"}]})
    )
    assert list(config.time_step_limit) == [0.0, float("inf")]


def test_70_billion_parameters_are_counted_without_their_memory() -> None:
    config = {
        **{"model_type": "llama", "num_hidden_layers": 80, "hidden_size": 8192},
        **{"intermediate_size": 28672, "num_attention_heads": 64, "num_key_value_heads": 8},
        "vocab_size": 128256,
    }
    start = time.perf_counter()
    assert count_parameters(sketch(spec_of(config))) == pytest.approx(70.6e9, rel=0.01)
    assert time.perf_counter() - start < 10


def test_a_model_above_the_limit_is_refused_before_it_is_built() -> None:
    limits = Limits(max_parameters=1_000, max_tokens=10)
    with pytest.raises(LimitExceededError) as caught:
        build_huggingface(spec_of(BERT), seed=0, limits=limits)
    assert caught.value.limit == 1_000
    assert caught.value.requested > 10_000

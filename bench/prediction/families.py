"""The families that configurations are drawn from, and which of them are kept for the test.

A family is one way to build a model: an architecture with a scheme, or with another thing that sets
it apart. Whole families are held out, so that the test asks about models of a kind that the
calibration has not seen. The split was fixed before any of the runs.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Split = Literal["calibration", "test", "second test"]

ConfigOf = Callable[[random.Random, int, int, int], dict[str, Any]]
"""A config of the Transformers library from a source of chance, the layers of each stack, the width
and the heads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What all configurations of one family share; the rest is drawn."""

    split: Split
    architecture: str = "decoder_only"
    schemes: tuple[Any, ...]
    model: Mapping[str, Any] = field(default_factory=dict)
    optimizers: tuple[str, ...] = ("adam", "adam", "adam", "adamw", "radam", "schedule_free")
    data: Mapping[str, Any] = field(default_factory=lambda: {"kind": "text"})
    config: ConfigOf | None = None
    """Of an architecture of the Transformers library."""


SORT = {"kind": "synthetic", "name": "sort"}
REVERSE = {"kind": "synthetic", "name": "reverse"}
COPY = {"kind": "synthetic", "name": "copy"}
DENOISING = {"kind": "text", "objective": "denoising"}
HYBRIDS = (
    {"encoder": "post_ln", "decoder": "pre_ln"},
    {"encoder": "pre_ln", "decoder": "post_ln"},
    {"encoder": "admin", "decoder": "pre_ln"},
)
LLAMA = {
    "norm": "rms_norm",
    "activation": "swiglu",
    "positions": "rotary",
    "tied_embeddings": False,
}


def gpt2(_: random.Random, layers: int, width: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "gpt2",
        "n_layer": layers,
        "n_embd": width,
        "n_head": heads,
        "n_positions": 128,
        "vocab_size": 320,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def opt(source: random.Random, layers: int, width: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "opt",
        "num_hidden_layers": layers,
        "hidden_size": width,
        "word_embed_proj_dim": width,
        "ffn_dim": 4 * width,
        "num_attention_heads": heads,
        "max_position_embeddings": 128,
        "vocab_size": 320,
        "do_layer_norm_before": source.choice((True, False)),
    }


def llama(_: random.Random, layers: int, width: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "num_hidden_layers": layers,
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_attention_heads": heads,
        "vocab_size": 320,
    }


def bart(_: random.Random, layers: int, width: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "bart",
        "encoder_layers": max(2, layers // 2),
        "decoder_layers": max(2, layers // 2),
        "d_model": width,
        "encoder_ffn_dim": 4 * width,
        "decoder_ffn_dim": 4 * width,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "max_position_embeddings": 128,
        "vocab_size": 320,
    }


def t5(_: random.Random, layers: int, width: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "t5",
        "num_layers": max(2, layers // 2),
        "d_model": width,
        "d_kv": width // heads,
        "d_ff": 4 * width,
        "num_heads": heads,
        "vocab_size": 320,
    }


def gpt_neo(_: random.Random, layers: int, width: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "gpt_neo",
        "num_layers": layers,
        "attention_types": [[["global"], layers]],
        "hidden_size": width,
        "num_heads": heads,
        "max_position_embeddings": 128,
        "vocab_size": 320,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def gpt_neox(_: random.Random, layers: int, width: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "gpt_neox",
        "num_hidden_layers": layers,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_attention_heads": heads,
        "max_position_embeddings": 128,
        "vocab_size": 320,
        "use_parallel_residual": True,
    }


def gated(model_type: str) -> ConfigOf:
    """Of a decoder in the manner of Llama."""

    def config(_: random.Random, layers: int, width: int, heads: int) -> dict[str, Any]:
        return {
            "model_type": model_type,
            "num_hidden_layers": layers,
            "hidden_size": width,
            "intermediate_size": 3 * width,
            "num_attention_heads": heads,
            "num_key_value_heads": 1,
            "head_dim": width // heads,
            "vocab_size": 320,
            "pad_token_id": 0,
            "bos_token_id": 0,
            "eos_token_id": 0,
        }

    return config


def as_bart(model_type: str) -> ConfigOf:
    """Of an encoder-decoder in the manner of BART."""

    def config(source: random.Random, layers: int, width: int, heads: int) -> dict[str, Any]:
        return bart(source, layers, width, heads) | {"model_type": model_type, "pad_token_id": 1}

    return config


def as_bert(model_type: str) -> ConfigOf:
    """Of a single stack that names its sizes as BERT does."""

    def config(_: random.Random, layers: int, width: int, heads: int) -> dict[str, Any]:
        return {
            "model_type": model_type,
            "num_hidden_layers": layers,
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_attention_heads": heads,
            "max_position_embeddings": 128,
            "vocab_size": 320,
        }

    return config


def distilbert(_: random.Random, layers: int, width: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "distilbert",
        "n_layers": layers,
        "dim": width,
        "hidden_dim": 4 * width,
        "n_heads": heads,
        "max_position_embeddings": 128,
        "vocab_size": 320,
    }


def phi(source: random.Random, layers: int, width: int, heads: int) -> dict[str, Any]:
    own = {"bos_token_id": 0, "eos_token_id": 0}
    return as_bert("phi")(source, layers, width, heads) | own


CALIBRATION: Split = "calibration"
TEST: Split = "test"
SECOND_TEST: Split = "second test"

FAMILIES: dict[str, Family] = {
    # decoder-only language models, the paper's initialisation
    "decoder/post_ln": Family(split=CALIBRATION, schemes=("post_ln",)),
    "decoder/pre_ln": Family(split=CALIBRATION, schemes=("pre_ln",)),
    "decoder/admin": Family(split=CALIBRATION, schemes=("admin",)),
    "decoder/deepnorm": Family(split=CALIBRATION, schemes=("deepnorm",)),
    "decoder/sub_ln": Family(split=CALIBRATION, schemes=("sub_ln",)),
    "decoder/rezero": Family(split=CALIBRATION, schemes=("rezero",)),
    "decoder/t_fixup": Family(split=CALIBRATION, schemes=("t_fixup",)),
    "decoder/sandwich": Family(split=CALIBRATION, schemes=("sandwich_ln", "peri_ln")),
    # the same with what later models changed
    "decoder/llama": Family(split=CALIBRATION, schemes=("pre_ln",), model=LLAMA),
    "decoder/llama_post": Family(split=CALIBRATION, schemes=("post_ln", "admin"), model=LLAMA),
    "decoder/gpt2_init": Family(
        split=CALIBRATION,
        schemes=("pre_ln", "post_ln"),
        model={"initialisation": "gpt2", "activation": "gelu", "positions": "learned"},
    ),
    "decoder/t5_init": Family(
        split=CALIBRATION, schemes=("pre_ln", "post_ln"), model={"initialisation": "t5"}
    ),
    "decoder/parallel": Family(
        split=CALIBRATION, schemes=("pre_ln", "peri_ln"), model={"parallel": True}
    ),
    "decoder/qk_norm": Family(
        split=CALIBRATION, schemes=("pre_ln", "post_ln", "admin"), model={"qk_norm": True}
    ),
    "decoder/sgd": Family(
        split=CALIBRATION, schemes=("pre_ln", "post_ln", "admin"), optimizers=("sgd",)
    ),
    "decoder/sgd_others": Family(
        split=CALIBRATION, schemes=("deepnorm", "sandwich_ln", "rezero"), optimizers=("sgd",)
    ),
    # encoder-decoders, the paper's own
    "seq2seq/post_ln": Family(
        split=CALIBRATION, architecture="encoder_decoder", schemes=("post_ln",)
    ),
    "seq2seq/pre_ln": Family(
        split=CALIBRATION, architecture="encoder_decoder", schemes=("pre_ln",)
    ),
    "seq2seq/admin": Family(split=CALIBRATION, architecture="encoder_decoder", schemes=("admin",)),
    "seq2seq/hybrid": Family(split=CALIBRATION, architecture="encoder_decoder", schemes=HYBRIDS),
    "seq2seq/others": Family(
        split=CALIBRATION,
        architecture="encoder_decoder",
        schemes=("deepnorm", "sub_ln", "t_fixup", "rezero"),
    ),
    "seq2seq/denoising": Family(
        split=CALIBRATION,
        architecture="encoder_decoder",
        schemes=("post_ln", "pre_ln", "admin"),
        data=DENOISING,
    ),
    # encoders, which read whole sequences
    "encoder/post_ln": Family(
        split=CALIBRATION, architecture="encoder_only", schemes=("post_ln",), data=SORT
    ),
    "encoder/pre_ln": Family(
        split=CALIBRATION, architecture="encoder_only", schemes=("pre_ln", "sub_ln"), data=SORT
    ),
    "encoder/admin": Family(
        split=CALIBRATION, architecture="encoder_only", schemes=("admin", "deepnorm"), data=SORT
    ),
    "encoder/masked": Family(
        split=CALIBRATION,
        architecture="encoder_only",
        schemes=("post_ln", "pre_ln", "admin"),
        model={"positions": "rotary"},
    ),
    "encoder/masked_sinusoidal": Family(
        split=CALIBRATION,
        architecture="encoder_only",
        schemes=("post_ln", "pre_ln", "admin"),
        model={"positions": "sinusoidal"},
    ),
    "encoder/masked_learned": Family(
        split=CALIBRATION,
        architecture="encoder_only",
        schemes=("post_ln", "pre_ln", "admin", "rezero"),
        model={"positions": "learned"},
    ),
    # architectures of the Transformers library, with its own initialisation
    "huggingface/gpt2": Family(split=CALIBRATION, schemes=("pre",), config=gpt2),
    "huggingface/opt": Family(split=CALIBRATION, schemes=("pre or post",), config=opt),
    "huggingface/llama": Family(split=CALIBRATION, schemes=("pre",), config=llama),
    "huggingface/bart": Family(split=CALIBRATION, schemes=("post",), config=bart),
    "huggingface/t5": Family(split=CALIBRATION, schemes=("pre",), config=t5),
    "huggingface/gpt_neox": Family(split=CALIBRATION, schemes=("pre",), config=gpt_neox),
    "huggingface/mistral": Family(split=CALIBRATION, schemes=("pre",), config=gated("mistral")),
    "huggingface/pegasus": Family(split=CALIBRATION, schemes=("pre",), config=as_bart("pegasus")),
    "huggingface/electra": Family(split=CALIBRATION, schemes=("post",), config=as_bert("electra")),
    # drawn for a wider calibration, together with the second test
    "decoder/learned": Family(
        split=CALIBRATION,
        schemes=("post_ln", "pre_ln", "admin", "deepnorm", "sub_ln"),
        model={"positions": "learned", "activation": "gelu"},
    ),
    "decoder/t5_init_others": Family(
        split=CALIBRATION,
        schemes=("admin", "deepnorm", "sandwich_ln"),
        model={"initialisation": "t5"},
    ),
    "seq2seq/gpt2_init": Family(
        split=CALIBRATION,
        architecture="encoder_decoder",
        schemes=("pre_ln", "post_ln", "admin"),
        model={"initialisation": "gpt2"},
    ),
    "seq2seq/reverse": Family(
        split=CALIBRATION,
        architecture="encoder_decoder",
        schemes=("post_ln", "pre_ln", "admin", "rezero"),
        data=REVERSE,
    ),
    "seq2seq/sgd": Family(
        split=CALIBRATION,
        architecture="encoder_decoder",
        schemes=("pre_ln", "post_ln", "admin"),
        optimizers=("sgd",),
    ),
    "seq2seq/llama": Family(
        split=CALIBRATION,
        architecture="encoder_decoder",
        schemes=("pre_ln", "post_ln", "admin"),
        model=LLAMA,
    ),
    "encoder/rms": Family(
        split=CALIBRATION,
        architecture="encoder_only",
        schemes=("post_ln", "pre_ln", "peri_ln"),
        model={"norm": "rms_norm", "activation": "swiglu"},
        data=SORT,
    ),
    "encoder/masked_gpt2_init": Family(
        split=CALIBRATION,
        architecture="encoder_only",
        schemes=("post_ln", "pre_ln", "admin"),
        model={"initialisation": "gpt2"},
    ),
    "huggingface/distilbert": Family(split=CALIBRATION, schemes=("post",), config=distilbert),
    "huggingface/roberta": Family(split=CALIBRATION, schemes=("post",), config=as_bert("roberta")),
    "huggingface/qwen3": Family(split=CALIBRATION, schemes=("pre",), config=gated("qwen3")),
    "huggingface/gemma2": Family(split=CALIBRATION, schemes=("sandwich",), config=gated("gemma2")),
    "huggingface/m2m_100": Family(split=CALIBRATION, schemes=("pre",), config=as_bart("m2m_100")),
    "huggingface/blenderbot": Family(
        split=CALIBRATION, schemes=("pre",), config=as_bart("blenderbot")
    ),
    # drawn after all of the above but the last fourteen had been looked at
    "decoder/grouped": Family(
        split=TEST,
        schemes=("post_ln", "pre_ln", "admin"),
        model={"num_kv_heads": 1, "num_heads": 4, "norm": "rms_norm", "activation": "swiglu"},
    ),
    "decoder/post_gelu": Family(
        split=TEST,
        schemes=("post_ln", "admin", "deepnorm"),
        model={"activation": "gelu", "positions": "rotary", "tied_embeddings": False},
    ),
    "decoder/gpt2_init_others": Family(
        split=TEST,
        schemes=("admin", "sub_ln", "peri_ln"),
        model={"initialisation": "gpt2", "positions": "learned"},
    ),
    "decoder/qk_norm_others": Family(
        split=TEST, schemes=("sandwich_ln", "deepnorm", "rezero"), model={"qk_norm": True}
    ),
    "decoder/sgd_t_fixup": Family(
        split=TEST, schemes=("t_fixup", "sub_ln", "peri_ln"), optimizers=("sgd",)
    ),
    "seq2seq/sort": Family(
        split=TEST,
        architecture="encoder_decoder",
        schemes=("post_ln", "pre_ln", "admin"),
        data=SORT,
    ),
    "seq2seq/sandwich": Family(
        split=TEST, architecture="encoder_decoder", schemes=("sandwich_ln", "peri_ln")
    ),
    "seq2seq/t5_init": Family(
        split=TEST,
        architecture="encoder_decoder",
        schemes=("pre_ln", "post_ln"),
        model={"initialisation": "t5", "norm": "rms_norm"},
    ),
    "encoder/others": Family(
        split=TEST,
        architecture="encoder_only",
        schemes=("sandwich_ln", "peri_ln", "t_fixup"),
        data=SORT,
    ),
    "encoder/masked_others": Family(
        split=TEST,
        architecture="encoder_only",
        schemes=("deepnorm", "sub_ln", "sandwich_ln"),
        model={"positions": "learned"},
    ),
    "huggingface/gpt_neo": Family(split=TEST, schemes=("pre",), config=gpt_neo),
    "huggingface/qwen2": Family(split=TEST, schemes=("pre",), config=gated("qwen2")),
    "huggingface/olmo2": Family(split=TEST, schemes=("post",), config=gated("olmo2")),
    "huggingface/marian": Family(split=TEST, schemes=("post",), config=as_bart("marian")),
    "huggingface/bert": Family(split=TEST, schemes=("post",), config=as_bert("bert")),
    # the second test, drawn when the first had been looked at several times
    "decoder/untied": Family(
        split=SECOND_TEST,
        schemes=("post_ln", "pre_ln", "sandwich_ln", "admin"),
        model={"tied_embeddings": False, "positions": "sinusoidal", "activation": "swiglu"},
    ),
    "decoder/sgd_llama": Family(
        split=SECOND_TEST, schemes=("pre_ln", "peri_ln"), model=LLAMA, optimizers=("sgd",)
    ),
    "decoder/qk_norm_gelu": Family(
        split=SECOND_TEST,
        schemes=("post_ln", "pre_ln", "sub_ln"),
        model={"qk_norm": True, "activation": "gelu", "norm": "rms_norm"},
    ),
    "seq2seq/rotary": Family(
        split=SECOND_TEST,
        architecture="encoder_decoder",
        schemes=("post_ln", "admin", "deepnorm"),
        model={"positions": "rotary", "norm": "rms_norm"},
    ),
    "seq2seq/copy": Family(
        split=SECOND_TEST,
        architecture="encoder_decoder",
        schemes=("post_ln", "pre_ln", "admin"),
        data=COPY,
    ),
    "seq2seq/denoising_others": Family(
        split=SECOND_TEST,
        architecture="encoder_decoder",
        schemes=("sub_ln", "sandwich_ln", "deepnorm"),
        data=DENOISING,
    ),
    "encoder/masked_gelu": Family(
        split=SECOND_TEST,
        architecture="encoder_only",
        schemes=("post_ln", "pre_ln", "peri_ln"),
        model={"activation": "gelu", "norm": "layer_norm"},
    ),
    "encoder/reverse": Family(
        split=SECOND_TEST,
        architecture="encoder_only",
        schemes=("post_ln", "pre_ln", "admin"),
        data=REVERSE,
    ),
    "huggingface/gemma": Family(split=SECOND_TEST, schemes=("pre",), config=gated("gemma")),
    "huggingface/phi": Family(split=SECOND_TEST, schemes=("pre",), config=phi),
    "huggingface/mbart": Family(split=SECOND_TEST, schemes=("pre",), config=as_bart("mbart")),
    "huggingface/xlm-roberta": Family(
        split=SECOND_TEST, schemes=("post",), config=as_bert("xlm-roberta")
    ),
}


def is_tested(name: str) -> bool:
    """Whether a family is held back from the calibration, for either test."""
    return FAMILIES[name].split != CALIBRATION

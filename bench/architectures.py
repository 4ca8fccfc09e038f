"""Architectures of Transformers at small sizes, with what their configs and documentation say.

The counts follow from the config: two branches for each layer of an encoder or of a decoder-only
network, three for each layer of a decoder that attends to an encoder, one for each block of a
convolutional or state-space network. The placement of the norms is that of the architecture's paper
or documentation.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from admin_core.report import NormPlacement

POST, PRE = NormPlacement.POST, NormPlacement.PRE
SANDWICH, OUTPUT, NONE = NormPlacement.SANDWICH, NormPlacement.OUTPUT, NormPlacement.NONE

Counts = Callable[[Any], dict[str, int]]
"""From a config, the branches of each stack."""

Inputs = Callable[[Any], dict[str, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One row of the table."""

    name: str
    """The config's `model_type`."""

    family: str
    expected: Counts
    implied: str
    """How the counts follow from the config, in words."""

    placement: NormPlacement
    inputs: Inputs
    config: Mapping[str, Any] = field(default_factory=dict)


def text(_: Any) -> dict[str, Tensor]:
    """Two sequences of tokens."""
    return {"input_ids": torch.arange(3, 27).view(2, 12)}


def seq2seq(_: Any) -> dict[str, Tensor]:
    """Two sequences for the encoder and two for the decoder."""
    return {
        "input_ids": torch.arange(3, 27).view(2, 12),
        "decoder_input_ids": torch.arange(3, 19).view(2, 8),
    }


def image(config: Any) -> dict[str, Tensor]:
    """An image of the config's size, or 64 x 64."""
    size = getattr(config, "image_size", 64)
    sides = [size, size] if isinstance(size, int) else size
    return {"pixel_values": torch.randn(1, 3, *sides)}


def waveform(_: Any) -> dict[str, Tensor]:
    """Half a second of sound."""
    return {"input_values": torch.randn(1, 8000)}


def spectrogram(config: Any) -> dict[str, Tensor]:
    """As many frames and mel bins as the config says."""
    return {"input_values": torch.randn(1, config.max_length, config.num_mel_bins)}


def frames_and_tokens(config: Any) -> dict[str, Tensor]:
    """Mel frames for the encoder, tokens for the decoder."""
    mel = torch.randn(1, config.num_mel_bins, 2 * config.max_source_positions)
    return {"input_features": mel, "decoder_input_ids": torch.arange(3, 11).view(1, 8)}


def image_and_text(config: Any) -> dict[str, Tensor]:
    """One image and one sequence."""
    size = config.vision_config.image_size
    return {
        "pixel_values": torch.randn(1, 3, size, size),
        "input_ids": torch.arange(3, 15).view(1, 12),
    }


def per_layer(stack: str, count: int = 2, field: str = "num_hidden_layers") -> Counts:
    """`count` branches for each of the config's layers."""
    return lambda config: {stack: count * getattr(config, field)}


def _both(config: Any) -> dict[str, int]:
    return {"encoder": 2 * config.encoder_layers, "decoder": 3 * config.decoder_layers}


def _t5(config: Any) -> dict[str, int]:
    return {"encoder": 2 * config.num_layers, "decoder": 3 * config.num_decoder_layers}


def _towers(config: Any) -> dict[str, int]:
    return {
        "text_model.encoder": 2 * config.text_config.num_hidden_layers,
        "vision_model.encoder": 2 * config.vision_config.num_hidden_layers,
    }


def _stages(count: int) -> Counts:
    return lambda config: {"encoder": count * sum(config.depths)}


WIDTHS = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "vocab_size": 64,
}
GPT_WIDTHS = {"n_embd": 32, "n_head": 4, "n_layer": 3, "vocab_size": 64}
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LAYERED = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "vocab_size": 64,
}
T5_WIDTHS = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_heads": 4,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "vocab_size": 64,
}
PATCHES = {k: v for k, v in WIDTHS.items() if k != "vocab_size"} | {
    "image_size": 32,
    "patch_size": 8,
}
SOUND = {k: v for k, v in WIDTHS.items() if k != "vocab_size"} | {
    "conv_dim": [16, 16],
    "conv_kernel": [10, 8],
    "conv_stride": [5, 4],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}

TWO = "2 x num_hidden_layers"
TWO_GPT = "2 x n_layer"


def _rows(
    family: str,
    names: Sequence[str],
    placement: NormPlacement,
    *,
    stack: str = "encoder",
    config: Mapping[str, Any] | None = None,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    inputs: Inputs = text,
    count: int = 2,
    depth: str = "num_hidden_layers",
    expected: Counts | None = None,
    implied: str | None = None,
) -> Iterator[Architecture]:
    """Rows that differ in their names alone, but for `changes` of the config by name."""
    for name in names:
        yield Architecture(
            name=name,
            family=family,
            expected=expected or per_layer(stack, count, depth),
            implied=implied or f"{count} x {depth}",
            placement=placement,
            inputs=inputs,
            config={**(WIDTHS if config is None else config), **(changes or {}).get(name, {})},
        )


ARCHITECTURES: list[Architecture] = [
    *_rows(
        "encoder-only",
        [
            *("bert", "roberta", "camembert", "xlm-roberta", "electra", "ernie", "mpnet"),
            *("deberta", "deberta-v2", "data2vec-text", "rembert", "roformer", "big_bird"),
            *("squeezebert", "nystromformer", "fnet", "layoutlm", "convbert", "ibert", "luke"),
        ],
        POST,
        changes={
            "deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
            "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
            "mpnet": SPECIAL,
            "squeezebert": {"embedding_size": 32},
            "luke": {"entity_vocab_size": 8, "entity_emb_size": 16},
        },
    ),
    *_rows("encoder-only, shared layers", ["albert"], POST, config=WIDTHS | {"embedding_size": 16}),
    *_rows(
        "encoder-only",
        ["distilbert"],
        POST,
        config={"dim": 32, "n_heads": 4, "hidden_dim": 48, "n_layers": 3, "vocab_size": 64},
        depth="n_layers",
    ),
    *_rows(
        "encoder-only",
        ["modernbert", "roberta-prelayernorm", "megatron-bert", "xlm-roberta-xl"],
        PRE,
        changes={"modernbert": SPECIAL | {"cls_token_id": 1, "sep_token_id": 2}},
    ),
    *_rows(
        "decoder-only",
        ["gpt2", "gpt_bigcode", "bloom", "codegen", "gptj", "ctrl"],
        PRE,
        stack="decoder",
        config=GPT_WIDTHS,
        depth="n_layer",
        changes={
            "bloom": {"hidden_size": 32},
            "codegen": {"rotary_dim": 4},
            "gptj": {"rotary_dim": 4},
            "ctrl": {"dff": 48},
        },
    ),
    *_rows(
        "decoder-only",
        ["gpt_neo"],
        PRE,
        stack="decoder",
        config={
            "hidden_size": 32,
            "num_heads": 4,
            "num_layers": 2,
            "attention_types": [[["global", "local"], 1]],
            "vocab_size": 64,
        },
        depth="num_layers",
    ),
    *_rows(
        "decoder-only",
        [
            *("gpt_neox", "opt", "llama", "mistral", "qwen2", "qwen3", "gemma", "phi", "phi3"),
            *("olmo", "stablelm", "cohere", "granite", "starcoder2", "nemotron", "persimmon"),
            *("biogpt", "smollm3", "glm", "ernie4_5", "falcon"),
        ],
        PRE,
        stack="decoder",
        config=WIDTHS | SPECIAL | {"num_key_value_heads": 2},
        changes={
            "gpt_neox": {"rotary_pct": 0.5},
            "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
            "gemma": GROUPED,
            "qwen3": GROUPED,
            "nemotron": {"head_dim": 8},
            "glm": GROUPED | {"partial_rotary_factor": 0.5},
            "falcon": {"num_kv_heads": 2, "new_decoder_architecture": True},
            "ernie4_5": GROUPED,
        },
    ),
    *_rows(
        "decoder-only, post-norm",
        ["opt"],
        POST,
        stack="decoder",
        config=WIDTHS
        | SPECIAL
        | {"ffn_dim": 48, "word_embed_proj_dim": 32, "do_layer_norm_before": False},
    ),
    *_rows(
        "decoder-only",
        ["mpt"],
        PRE,
        stack="decoder",
        config={"d_model": 32, "n_heads": 4, "n_layers": 3, "vocab_size": 64},
        depth="n_layers",
    ),
    *_rows(
        "decoder-only, norms before and after",
        ["gemma2", "gemma3_text", "glm4"],
        SANDWICH,
        stack="decoder",
        config=WIDTHS | SPECIAL | GROUPED,
        changes={"glm4": {"partial_rotary_factor": 0.5}},
    ),
    *_rows(
        "decoder-only, norm on the branch's output",
        ["olmo2", "olmo3", "exaone4"],
        OUTPUT,
        stack="decoder",
        config=WIDTHS | SPECIAL | {"num_key_value_heads": 2},
    ),
    *_rows(
        "mixture of experts",
        ["mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "phimoe", "gpt_oss", "deepseek_v3"],
        PRE,
        stack="decoder",
        config=WIDTHS | SPECIAL | {"num_key_value_heads": 2},
        changes={
            "mixtral": {"num_local_experts": 4},
            "qwen2_moe": EXPERTS | {"shared_expert_intermediate_size": 24},
            "qwen3_moe": EXPERTS | GROUPED,
            "olmoe": EXPERTS,
            "phimoe": {"num_local_experts": 4},
            "gpt_oss": GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 2},
            "deepseek_v3": {
                "num_key_value_heads": 4,
                "q_lora_rank": 16,
                "kv_lora_rank": 16,
                "qk_nope_head_dim": 8,
                "qk_rope_head_dim": 8,
                "v_head_dim": 8,
                "n_routed_experts": 8,
                "num_experts_per_tok": 2,
                "n_group": 2,
                "topk_group": 1,
                "moe_intermediate_size": 24,
                "first_k_dense_replace": 1,
            },
        },
    ),
    *_rows(
        "encoder-decoder",
        ["bart", "marian", "blenderbot-small", "plbart", "mvp"],
        POST,
        config=LAYERED,
        inputs=seq2seq,
        expected=_both,
        implied="2 x encoder_layers, 3 x decoder_layers",
        changes={"marian": SPECIAL | {"decoder_start_token_id": 0}},
    ),
    *_rows(
        "encoder-decoder",
        ["fsmt"],
        POST,
        config=LAYERED | {"src_vocab_size": 64, "tgt_vocab_size": 64, "langs": ["en", "de"]},
        inputs=seq2seq,
        expected=_both,
        implied="2 x encoder_layers, 3 x decoder_layers",
    ),
    *_rows(
        "encoder-decoder",
        ["mbart", "pegasus", "blenderbot", "m2m_100", "bigbird_pegasus"],
        PRE,
        config=LAYERED,
        inputs=seq2seq,
        expected=_both,
        implied="2 x encoder_layers, 3 x decoder_layers",
        changes={"bigbird_pegasus": {"attention_type": "original_full"}},
    ),
    *_rows(
        "encoder-decoder",
        ["t5", "mt5", "umt5", "longt5", "switch_transformers"],
        PRE,
        config=T5_WIDTHS,
        inputs=seq2seq,
        expected=_t5,
        implied="2 x num_layers, 3 x num_decoder_layers",
        changes={"switch_transformers": {"num_experts": 4, "expert_capacity": 8}},
    ),
    *_rows(
        "speech",
        ["whisper"],
        PRE,
        config=LAYERED
        | SPECIAL
        | {
            "num_mel_bins": 16,
            "max_source_positions": 32,
            "decoder_start_token_id": 1,
            "suppress_tokens": [],
            "begin_suppress_tokens": [],
        },
        inputs=frames_and_tokens,
        expected=_both,
        implied="2 x encoder_layers, 3 x decoder_layers",
    ),
    *_rows(
        "vision",
        ["vit", "deit", "beit", "dinov2", "vit_msn", "yolos", "ijepa", "data2vec-vision"],
        PRE,
        config=PATCHES,
        inputs=image,
        changes={"yolos": {"image_size": [32, 32]}},
    ),
    *_rows(
        "vision, stages",
        ["swin", "focalnet", "pvt_v2", "segformer", "poolformer"],
        PRE,
        config={"depths": [2, 1], "image_size": 32},
        inputs=image,
        expected=_stages(2),
        implied="2 x sum(depths)",
        changes={
            "swin": {"embed_dim": 16, "num_heads": [2, 4], "patch_size": 2, "window_size": 4},
            "focalnet": {
                "embed_dim": 16,
                "patch_size": 2,
                "hidden_sizes": [16, 32],
                "focal_levels": [2, 2],
                "focal_windows": [3, 3],
            },
            "pvt_v2": {
                "depths": [1, 1, 2, 1],
                "hidden_sizes": [8, 16, 24, 32],
                "num_attention_heads": [1, 2, 3, 4],
            },
            "segformer": {
                "depths": [1, 1, 2, 1],
                "hidden_sizes": [8, 16, 24, 32],
                "num_attention_heads": [1, 2, 3, 4],
            },
            "poolformer": {"depths": [1, 1, 2, 1], "hidden_sizes": [8, 16, 24, 32]},
        },
    ),
    *_rows(
        "vision, stages",
        ["swinv2"],
        OUTPUT,
        config={
            "depths": [2, 1],
            "image_size": 32,
            "embed_dim": 16,
            "num_heads": [2, 4],
            "patch_size": 2,
            "window_size": 4,
        },
        inputs=image,
        expected=_stages(2),
        implied="2 x sum(depths)",
    ),
    *_rows(
        "vision, convolutional",
        ["convnext", "convnextv2"],
        PRE,
        config={"depths": [2, 2], "hidden_sizes": [16, 32], "num_stages": 2},
        inputs=image,
        expected=_stages(1),
        implied="sum(depths)",
    ),
    *_rows(
        "vision, convolutional",
        ["resnet", "regnet"],
        OUTPUT,
        config={"depths": [2, 3], "hidden_sizes": [16, 32], "embedding_size": 8},
        inputs=image,
        expected=_stages(1),
        implied="sum(depths)",
        changes={"regnet": {"groups_width": 8}},
    ),
    *_rows(
        "vision, convolutional",
        ["bit"],
        PRE,
        config={
            "depths": [2, 2],
            "hidden_sizes": [128, 256],
            "embedding_size": 32,
            "num_groups": 4,
        },
        inputs=image,
        expected=_stages(1),
        implied="sum(depths)",
    ),
    *_rows(
        "audio",
        ["wav2vec2", "hubert", "wavlm", "unispeech", "sew"],
        POST,
        config=SOUND,
        inputs=waveform,
        changes={"sew": {"squeeze_factor": 2}},
    ),
    *_rows(
        "audio, stable layer norm",
        ["wav2vec2", "hubert"],
        PRE,
        config=SOUND | {"do_stable_layer_norm": True, "feat_extract_norm": "layer"},
        inputs=waveform,
    ),
    *_rows(
        "audio",
        ["audio-spectrogram-transformer"],
        PRE,
        config={k: v for k, v in PATCHES.items() if k != "image_size"}
        | {"max_length": 32, "num_mel_bins": 16, "frequency_stride": 4, "time_stride": 4},
        inputs=spectrogram,
    ),
    *_rows(
        "state space",
        ["mamba", "falcon_mamba"],
        PRE,
        stack="decoder",
        count=1,
        config={"hidden_size": 32, "num_hidden_layers": 3, "state_size": 8, "vocab_size": 64},
    ),
    *_rows(
        "state space",
        ["mamba2"],
        PRE,
        stack="decoder",
        count=1,
        config={
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "state_size": 8,
            "num_heads": 8,
            "head_dim": 8,
            "n_groups": 2,
            "chunk_size": 4,
            "vocab_size": 64,
        },
    ),
    *_rows(
        "state space",
        ["rwkv"],
        PRE,
        stack="decoder",
        config={
            "hidden_size": 32,
            "attention_hidden_size": 32,
            "num_hidden_layers": 3,
            "vocab_size": 64,
            "context_length": 16,
        },
    ),
    *_rows(
        "state space and attention",
        ["recurrent_gemma", "jamba"],
        PRE,
        stack="decoder",
        config=WIDTHS | SPECIAL | {"num_key_value_heads": 2},
        changes={
            "recurrent_gemma": {"lru_width": 32, "attention_window_size": 8, "head_dim": 8},
            "jamba": {
                "num_hidden_layers": 4,
                "attn_layer_period": 2,
                "attn_layer_offset": 1,
                "expert_layer_period": 2,
                "expert_layer_offset": 1,
                "num_experts": 4,
                "use_mamba_kernels": False,
            },
        },
    ),
    *_rows(
        "two towers",
        ["clip"],
        PRE,
        config={
            "text_config": WIDTHS | SPECIAL,
            "vision_config": PATCHES,
        },
        inputs=image_and_text,
        expected=_towers,
        implied="2 x num_hidden_layers of each",
    ),
]

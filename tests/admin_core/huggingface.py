"""Small configs that tests of any architecture share."""

from typing import Any

from admin_core.spec import DiagnosisSpec, HuggingFaceSpec

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
}
SPEECH: dict[str, Any] = {
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
BOTH_STACKS: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
}

BERT: dict[str, Any] = {"model_type": "bert", "vocab_size": 300, **SMALL}
GPT2: dict[str, Any] = {
    "model_type": "gpt2",
    **{"n_embd": 32, "n_head": 4, "n_layer": 2, "vocab_size": 300},
    **{"bos_token_id": 299, "eos_token_id": 299},
}
T5: dict[str, Any] = {
    "model_type": "t5",
    **{"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 400},
}
BART: dict[str, Any] = {"model_type": "bart", "vocab_size": 400, **BOTH_STACKS}
WHISPER: dict[str, Any] = {
    "model_type": "whisper",
    **BOTH_STACKS,
    **{"vocab_size": 400, "num_mel_bins": 16, "max_source_positions": 30},
    **{"pad_token_id": 399, "bos_token_id": 398, "eos_token_id": 397},
    "decoder_start_token_id": 396,
}
VIT: dict[str, Any] = {"model_type": "vit", "image_size": 32, "patch_size": 8, **SMALL}
RESNET: dict[str, Any] = {
    "model_type": "resnet",
    **{"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1]},
}
WAV2VEC2: dict[str, Any] = {"model_type": "wav2vec2", "vocab_size": 40, **SPEECH, **SMALL}
MAMBA: dict[str, Any] = {
    "model_type": "mamba",
    **{"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2},
}
CLIP: dict[str, Any] = {
    "model_type": "clip",
    "architectures": ["CLIPModel"],
    "text_config": {"vocab_size": 400, **SMALL},
    "vision_config": {"image_size": 32, "patch_size": 8, **SMALL},
}


def spec_of(config: dict[str, Any], **changes: Any) -> HuggingFaceSpec:
    """A spec of the config, with `changes` to it."""
    return HuggingFaceSpec.model_validate({"kind": "huggingface", "config": {**config, **changes}})


def request(config: dict[str, Any], **fields: Any) -> DiagnosisSpec:
    """A diagnosis of the config, on a small batch."""
    body: dict[str, Any] = {
        "model": {"kind": "huggingface", "config": config},
        "training": {"batch_size": 4, "sequence_length": 16},
    }
    scheme = fields.pop("scheme", None)
    if scheme is not None:
        body["model"] |= {"scheme": scheme}
    return DiagnosisSpec.model_validate(body | fields)

"""Small specs that the core's tests share."""

from typing import Any

from admin_core.spec import Architecture, TransformerSpec


def small(architecture: Architecture | str = "encoder_decoder", **changes: Any) -> TransformerSpec:
    """A model of two layers a stack and width 16, with `changes`."""
    fields: dict[str, Any] = {"architecture": architecture, "d_model": 16, "num_heads": 4}
    if architecture != "decoder_only":
        fields["encoder_layers"] = 2
    if architecture != "encoder_only":
        fields["decoder_layers"] = 2
    return TransformerSpec.model_validate(fields | changes)


EVERY_PART: list[dict[str, Any]] = [
    *(
        {"scheme": scheme}
        for scheme in (
            "post_ln",
            "pre_ln",
            "admin",
            "deepnorm",
            "sub_ln",
            "rezero",
            "t_fixup",
            "sandwich_ln",
            "peri_ln",
        )
    ),
    {"norm": "rms_norm", "scheme": "sub_ln"},
    {"activation": "gelu"},
    {"activation": "swiglu", "scheme": "sub_ln"},
    {"positions": "learned", "max_positions": 40},
    {"positions": "rotary"},
    {"num_kv_heads": 2},
    {"num_kv_heads": 1, "qk_norm": True, "norm": "rms_norm"},
    {"qk_norm": True},
    {"parallel": True, "scheme": "pre_ln"},
    {"initialisation": "gpt2"},
    {"initialisation": "t5"},
    {"tied_embeddings": False},
    {"d_ff": 24},
]
"""Each part of the built-in Transformer, in some model."""

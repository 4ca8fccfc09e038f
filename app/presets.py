"""Model specs by name: the paper's, well-known shapes in the words of the built-in Transformer, and
architectures of the Transformers library.

A shape is the sizes and the norm placement; activation, positions and initialisation are the
built-in Transformer's own. What is named `huggingface-...` is the library's in every detail.
"""

from pydantic import BaseModel, ConfigDict

from admin_core.spec import (
    Architecture,
    HuggingFaceSpec,
    ModelSpec,
    Scheme,
    StackSchemes,
    TransformerSpec,
)


class Preset(BaseModel):
    """A model spec with a name."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    description: str
    model: ModelSpec
    """As `POST /v1/diagnoses` takes it."""


_SCHEME_TITLES = {Scheme.POST_LN: "Post-LN", Scheme.PRE_LN: "Pre-LN", Scheme.ADMIN: "Admin"}


def _paper(
    encoder_layers: int,
    decoder_layers: int,
    scheme: Scheme | StackSchemes,
    *,
    d_model: int = 512,
    num_heads: int = 8,
) -> TransformerSpec:
    """An encoder-decoder of Liu et al. (2020), with the dropout of its translation runs."""
    return TransformerSpec(
        architecture=Architecture.ENCODER_DECODER,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
        d_model=d_model,
        num_heads=num_heads,
        d_ff=4 * d_model,
        vocab_size=32_768,
        scheme=scheme,
        dropout=0.1,
        attention_dropout=0.1,
        activation_dropout=0.1,
    )


def _paper_presets() -> list[Preset]:
    return [
        Preset(
            name=f"paper-{encoder}-{decoder}-{scheme.value.replace('_', '-')}",
            description=f"Liu et al. (2020): {encoder}-{decoder} {title}, d_model 512",
            model=_paper(encoder, decoder, scheme),
        )
        for encoder, decoder in ((6, 6), (12, 12), (18, 18), (60, 12))
        for scheme, title in _SCHEME_TITLES.items()
    ]


def _hybrid_presets() -> list[Preset]:
    return [
        Preset(
            name=f"paper-6-6-{encoder.value.removesuffix('_ln')}-{decoder.value.removesuffix('_ln')}",
            description=f"Liu et al. (2020), Table 1: {_SCHEME_TITLES[encoder]} encoder, "
            f"{_SCHEME_TITLES[decoder]} decoder",
            model=_paper(6, 6, StackSchemes(encoder=encoder, decoder=decoder)),
        )
        for encoder, decoder in ((Scheme.POST_LN, Scheme.PRE_LN), (Scheme.PRE_LN, Scheme.POST_LN))
    ]


def _demo_presets() -> list[Preset]:
    return [
        Preset(
            name=f"demo-18-18-{scheme.value.replace('_', '-')}",
            description=f"18-18 {title} with d_model 128, as in make demo: seconds on a CPU",
            model=TransformerSpec(
                architecture=Architecture.ENCODER_DECODER,
                encoder_layers=18,
                decoder_layers=18,
                d_model=128,
                num_heads=4,
                d_ff=512,
                scheme=scheme,
            ),
        )
        for scheme, title in _SCHEME_TITLES.items()
    ]


def _shape(
    architecture: Architecture,
    layers: int,
    d_model: int,
    num_heads: int,
    vocab_size: int,
    scheme: Scheme,
    dropout: float = 0.1,
) -> TransformerSpec:
    return TransformerSpec(
        architecture=architecture,
        encoder_layers=None if architecture is Architecture.DECODER_ONLY else layers,
        decoder_layers=None if architecture is Architecture.ENCODER_ONLY else layers,
        d_model=d_model,
        num_heads=num_heads,
        d_ff=4 * d_model,
        vocab_size=vocab_size,
        scheme=scheme,
        dropout=dropout,
        attention_dropout=0.1 if architecture is not Architecture.ENCODER_DECODER else 0.0,
    )


_ENCODER, _DECODER = Architecture.ENCODER_ONLY, Architecture.DECODER_ONLY
_BOTH = Architecture.ENCODER_DECODER

_WELL_KNOWN = [
    Preset(
        name="transformer-base",
        description="Vaswani et al. (2017), base: 6-6 Post-LN, d_model 512",
        model=_shape(_BOTH, 6, 512, 8, 37_000, Scheme.POST_LN),
    ),
    Preset(
        name="transformer-big",
        description="Vaswani et al. (2017), big: 6-6 Post-LN, d_model 1024",
        model=_shape(_BOTH, 6, 1024, 16, 37_000, Scheme.POST_LN, dropout=0.3),
    ),
    Preset(
        name="bert-base",
        description="Devlin et al. (2019), base: 12 layers, Post-LN, d_model 768",
        model=_shape(_ENCODER, 12, 768, 12, 30_522, Scheme.POST_LN),
    ),
    Preset(
        name="bert-large",
        description="Devlin et al. (2019), large: 24 layers, Post-LN, d_model 1024",
        model=_shape(_ENCODER, 24, 1024, 16, 30_522, Scheme.POST_LN),
    ),
    Preset(
        name="gpt2",
        description="Radford et al. (2019), 124M: 12 layers, Pre-LN, d_model 768",
        model=_shape(_DECODER, 12, 768, 12, 50_257, Scheme.PRE_LN),
    ),
    Preset(
        name="gpt2-medium",
        description="Radford et al. (2019), 355M: 24 layers, Pre-LN, d_model 1024",
        model=_shape(_DECODER, 24, 1024, 16, 50_257, Scheme.PRE_LN),
    ),
]

_HUGGING_FACE = [
    Preset(
        name="huggingface-bert-small",
        description="BERT as Transformers builds it: base's 12 layers with d_model 128, Post-LN",
        model=HuggingFaceSpec(
            kind="huggingface",
            config={
                "model_type": "bert",
                "architectures": ["BertForMaskedLM"],
                "num_hidden_layers": 12,
                "hidden_size": 128,
                "num_attention_heads": 4,
                "intermediate_size": 512,
            },
        ),
    ),
    Preset(
        name="huggingface-gpt2",
        description="GPT-2 as Transformers builds it, 124M: 12 layers, Pre-LN, d_model 768",
        model=HuggingFaceSpec(
            kind="huggingface",
            config={"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]},
        ),
    ),
    Preset(
        name="huggingface-t5-small",
        description="T5 as Transformers builds it, small: 6-6 layers, Pre-LN, d_model 512",
        model=HuggingFaceSpec(
            kind="huggingface",
            config={
                "model_type": "t5",
                "architectures": ["T5ForConditionalGeneration"],
                "is_encoder_decoder": True,
                "decoder_start_token_id": 0,
            },
        ),
    ),
]

PRESETS = [
    *_paper_presets(),
    *_hybrid_presets(),
    *_demo_presets(),
    *_WELL_KNOWN,
    *_HUGGING_FACE,
]

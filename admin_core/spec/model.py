"""The model: what is built, and how its weights begin."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from admin_core.spec.data import BYTES_VOCABULARY
from admin_core.spec.parts import Count, Part, Probability


class Architecture(StrEnum):
    ENCODER_DECODER = "encoder_decoder"
    ENCODER_ONLY = "encoder_only"
    DECODER_ONLY = "decoder_only"


class Stack(StrEnum):
    """A chain of sub-layers that counts its depth from 1."""

    ENCODER = "encoder"
    DECODER = "decoder"


class Scheme(StrEnum):
    """How shortcut, residual branch and norm are put together, and scaled at initialisation."""

    POST_LN = "post_ln"
    PRE_LN = "pre_ln"
    ADMIN = "admin"
    DEEPNORM = "deepnorm"
    SUB_LN = "sub_ln"
    REZERO = "rezero"
    T_FIXUP = "t_fixup"
    SANDWICH_LN = "sandwich_ln"
    PERI_LN = "peri_ln"


POST_NORM_SCHEMES = frozenset({Scheme.POST_LN, Scheme.ADMIN, Scheme.DEEPNORM})
"""The schemes whose norm follows the addition."""


class Norm(StrEnum):
    LAYER_NORM = "layer_norm"
    RMS_NORM = "rms_norm"


class Activation(StrEnum):
    RELU = "relu"
    GELU = "gelu"
    SWIGLU = "swiglu"


class Positions(StrEnum):
    SINUSOIDAL = "sinusoidal"
    LEARNED = "learned"
    ROTARY = "rotary"


class Initialisation(StrEnum):
    """The distribution of fresh weights."""

    XAVIER = "xavier"
    """The paper's: Xavier-uniform matrices, embeddings N(0, 1/d_model) times sqrt(d_model)."""
    GPT2 = "gpt2"
    """N(0, 0.02^2), the projections onto the shortcut divided by the root of the sub-layers."""
    T5 = "t5"
    """N(0, 1/fan_in) matrices, embeddings N(0, 1)."""


class StackSchemes(Part):
    """One scheme per stack: the paper's hybrids."""

    encoder: Scheme
    decoder: Scheme


class TransformerSpec(Part):
    """The built-in Transformer."""

    kind: Literal["transformer"] = "transformer"
    architecture: Architecture
    encoder_layers: Annotated[Count, Field(le=5_000)] | None = Field(None, validate_default=True)
    """Layers of the encoder; none in a decoder-only model."""
    decoder_layers: Annotated[Count, Field(le=5_000)] | None = Field(None, validate_default=True)
    """Layers of the decoder; none in an encoder-only model."""
    d_model: Annotated[Count, Field(ge=2, le=65_536)]
    """Width of the states, in features."""
    num_heads: Annotated[Count, Field(le=4_096)]
    """Attention heads; divides d_model."""
    num_kv_heads: Annotated[Count, Field(le=4_096)] | None = None
    """Key and value heads that the attention heads share; divides num_heads, as many unless
    given."""
    d_ff: Annotated[Count, Field(le=1_048_576)] | None = None
    """Width inside the feed-forward branch; 4 * d_model unless given."""
    vocab_size: Annotated[Count, Field(ge=2, le=10_000_000)] = BYTES_VOCABULARY
    scheme: Scheme | StackSchemes = Scheme.POST_LN
    """One scheme for all stacks, or one for each: ``{"encoder": ..., "decoder": ...}``."""
    norm: Norm = Norm.LAYER_NORM
    activation: Activation = Activation.RELU
    """Inside the feed-forward branch; swiglu has a third matrix of the same width."""
    positions: Positions = Positions.SINUSOIDAL
    max_positions: Annotated[Count, Field(le=1_000_000)] = 1_024
    """Rows of the learned positions' table."""
    qk_norm: bool = False
    """Whether a norm over each head's features follows the query and key projections."""
    parallel: bool = False
    """Whether the feed-forward branch reads what the attention branch reads: x + a(x) + f(x)."""
    initialisation: Initialisation = Initialisation.XAVIER
    tied_embeddings: bool = True
    """Whether the token embeddings of all stacks and the output projection are one matrix."""
    dropout: Probability = 0.1
    """After the embedding and at the end of each residual branch."""
    attention_dropout: Probability = 0.0
    """On the attention probabilities."""
    activation_dropout: Probability = 0.0
    """After the activation inside the feed-forward branch."""

    @field_validator("encoder_layers", "decoder_layers")
    @classmethod
    def _layers_fit_the_architecture(cls, layers: int | None, info: ValidationInfo) -> int | None:
        architecture = info.data.get("architecture")
        stack = str(info.field_name).removesuffix("_layers")
        if architecture is None:
            return layers
        wanted = architecture in (Architecture.ENCODER_DECODER, f"{stack}_only")
        if wanted and layers is None:
            raise PydanticCustomError(
                "missing_layers", "Needed by the architecture {a}", {"a": architecture.value}
            )
        if not wanted and layers is not None:
            raise PydanticCustomError(
                "superfluous_layers",
                "The architecture {a} has no {stack}; leave this field out",
                {"a": architecture.value, "stack": stack},
            )
        return layers

    @field_validator("num_heads")
    @classmethod
    def _heads_divide_the_width(cls, num_heads: int, info: ValidationInfo) -> int:
        d_model = info.data.get("d_model")
        if d_model is not None and d_model % num_heads:
            raise PydanticCustomError(
                "heads_do_not_divide",
                "{num_heads} heads do not divide d_model = {d_model}",
                {"num_heads": num_heads, "d_model": d_model},
            )
        return num_heads

    @field_validator("num_kv_heads")
    @classmethod
    def _kv_heads_divide_the_heads(
        cls, num_kv_heads: int | None, info: ValidationInfo
    ) -> int | None:
        num_heads = info.data.get("num_heads")
        if num_kv_heads is not None and num_heads is not None and num_heads % num_kv_heads:
            raise PydanticCustomError(
                "kv_heads_do_not_divide",
                "{num_kv_heads} key and value heads do not divide num_heads = {num_heads}",
                {"num_kv_heads": num_kv_heads, "num_heads": num_heads},
            )
        return num_kv_heads

    @field_validator("positions")
    @classmethod
    def _rotary_turns_pairs(cls, positions: Positions, info: ValidationInfo) -> Positions:
        d_model, num_heads = info.data.get("d_model"), info.data.get("num_heads")
        if positions is Positions.ROTARY and d_model and num_heads and d_model // num_heads % 2:
            raise PydanticCustomError(
                "odd_head",
                "Rotary positions turn pairs of features, but each head has {d_head}",
                {"d_head": d_model // num_heads},
            )
        return positions

    @field_validator("parallel")
    @classmethod
    def _parallel_has_no_norm_between(cls, parallel: bool, info: ValidationInfo) -> bool:
        scheme = info.data.get("scheme")
        schemes = {scheme.encoder, scheme.decoder} if isinstance(scheme, StackSchemes) else {scheme}
        if parallel and schemes & POST_NORM_SCHEMES:
            raise PydanticCustomError(
                "parallel_post_norm",
                "Parallel branches need a scheme without a norm after the addition, such as pre_ln",
            )
        return parallel

    @field_validator("scheme")
    @classmethod
    def _scheme_per_stack_needs_two_stacks(
        cls, scheme: Scheme | StackSchemes, info: ValidationInfo
    ) -> Scheme | StackSchemes:
        architecture = info.data.get("architecture", Architecture.ENCODER_DECODER)
        if isinstance(scheme, StackSchemes) and architecture is not Architecture.ENCODER_DECODER:
            raise PydanticCustomError(
                "one_stack_one_scheme",
                "The architecture {a} has one stack; give one scheme's name",
                {"a": architecture.value},
            )
        return scheme

    @property
    def d_head(self) -> int:
        """Features of each attention head."""
        return self.d_model // self.num_heads

    @property
    def kv_width(self) -> int:
        """Features of all key heads together, and of all value heads."""
        return self.d_head * (self.num_kv_heads or self.num_heads)

    @property
    def feed_forward_width(self) -> int:
        return 4 * self.d_model if self.d_ff is None else self.d_ff

    @property
    def layers(self) -> Mapping[Stack, int]:
        """Number of layers of each stack that this model has, encoder first."""
        layers = {Stack.ENCODER: self.encoder_layers, Stack.DECODER: self.decoder_layers}
        return {stack: n for stack, n in layers.items() if n is not None}

    def sublayers_per_layer(self, stack: Stack) -> int:
        """3 in a decoder with cross-attention, otherwise 2."""
        cross_attends = self.architecture is Architecture.ENCODER_DECODER
        return 3 if stack is Stack.DECODER and cross_attends else 2

    def scheme_of(self, stack: Stack) -> Scheme:
        if isinstance(self.scheme, StackSchemes):
            return self.scheme.encoder if stack is Stack.ENCODER else self.scheme.decoder
        return self.scheme

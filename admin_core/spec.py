"""What a user asks for: a model, how it would be trained, on what data, and which analyses.

Every field says its unit and bounds. Unknown fields, NaN, infinity, and numbers written as
strings or booleans are refused, each with the path of the field. No torch is loaded here.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

BYTES_VOCABULARY = 256
"""Text is read as bytes, so that its vocabulary has this size."""


def _no_disguised_number(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise PydanticCustomError("number_type", "Input should be a number, written as a number")
    return value


Count = Annotated[int, BeforeValidator(_no_disguised_number), Field(ge=1)]
Whole = Annotated[int, BeforeValidator(_no_disguised_number), Field(ge=0)]
Real = Annotated[float, BeforeValidator(_no_disguised_number)]
Probability = Annotated[Real, Field(ge=0, lt=1)]


class Part(BaseModel):
    """Base of all specs: immutable, closed to unknown fields, finite."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, frozen=True, use_attribute_docstrings=True
    )


def _refuse(path: tuple[str, ...], value: object, kind: str, message: str) -> ValidationError:
    """A validation error at `path` below the field under validation, where pydantic would say
    only the field itself."""
    return ValidationError.from_exception_data(
        "spec",
        [
            InitErrorDetails(
                # Braces would be read as a template.
                type=PydanticCustomError(kind, "{message}", {"message": message}),
                loc=path,
                input=value,
            )
        ],
    )


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
    d_ff: Annotated[Count, Field(le=1_048_576)] | None = None
    """Width inside the feed-forward branch; 4 * d_model unless given."""
    vocab_size: Annotated[Count, Field(ge=2, le=10_000_000)] = BYTES_VOCABULARY
    scheme: Scheme | StackSchemes = Scheme.POST_LN
    """One scheme for all stacks, or one for each: ``{"encoder": ..., "decoder": ...}``."""
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


ModelSpec = TransformerSpec


class Optimizer(StrEnum):
    ADAM = "adam"
    ADAMW = "adamw"
    RADAM = "radam"
    SGD = "sgd"


class Schedule(StrEnum):
    """How the learning rate goes on after its linear warm-up."""

    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"
    INVERSE_SQRT = "inverse_sqrt"


class TrainingSpec(Part):
    """How the model would be trained."""

    optimizer: Optimizer = Optimizer.ADAM
    learning_rate: Annotated[Real, Field(gt=0, le=1e6)] = 1e-3
    """The peak of the schedule."""
    betas: tuple[Probability, Probability] = (0.9, 0.98)
    """Decay of Adam's first and second moment."""
    epsilon: Annotated[Real, Field(gt=0, le=1)] = 1e-8
    """Added to the root of Adam's second moment."""
    momentum: Probability = 0.0
    """Of SGD."""
    weight_decay: Annotated[Real, Field(ge=0, le=1e3)] = 0.0
    schedule: Schedule = Schedule.INVERSE_SQRT
    warmup_steps: Annotated[Whole, Field(le=10**9)] = 4_000
    steps: Annotated[Count, Field(le=10**9)] = 100_000
    batch_size: Annotated[Count, Field(le=1_000_000)] = 16
    """Sequences per step."""
    sequence_length: Annotated[Count, Field(ge=2, le=1_000_000)] = 64
    """Tokens per sequence, in each stack."""


class TextData(Part):
    """Real English text that every CPython ships, as bytes."""

    kind: Literal["text"] = "text"
    name: Literal["pydoc"] = "pydoc"


class SyntheticName(StrEnum):
    UNIFORM = "uniform"
    ZIPF = "zipf"
    COPY = "copy"
    REVERSE = "reverse"
    SORT = "sort"


class SyntheticData(Part):
    """Tokens drawn from a rule, over the model's whole vocabulary."""

    kind: Literal["synthetic"]
    name: SyntheticName


DataSpec = Annotated[TextData | SyntheticData, Field(discriminator="kind")]


class Analysis(StrEnum):
    OMEGA = "omega"
    AMPLIFICATION = "amplification"
    VERDICT = "verdict"


ALL_ANALYSES = tuple(Analysis)


class DiagnosisSpec(Part):
    """Everything a diagnosis needs. The same spec, seed and version give the same report."""

    data: DataSpec = TextData()
    training: TrainingSpec = TrainingSpec()
    model: ModelSpec
    seed: Annotated[Whole, Field(lt=2**63)] = 0
    """Of the weights, the data, dropout and the perturbations."""
    analyses: Annotated[tuple[Analysis, ...], Field(min_length=1)] = ALL_ANALYSES

    # `data` stands before `model`, so that this check can name the field to change.
    @field_validator("model")
    @classmethod
    def _vocabulary_holds_the_data(cls, model: ModelSpec, info: ValidationInfo) -> ModelSpec:
        if isinstance(info.data.get("data"), TextData) and model.vocab_size < BYTES_VOCABULARY:
            raise _refuse(
                ("vocab_size",),
                model.vocab_size,
                "vocabulary_too_small",
                f"The text is read as bytes and needs a vocabulary of at least {BYTES_VOCABULARY}, "
                f"not {model.vocab_size}",
            )
        return model

    @model_validator(mode="after")
    def _analyses_are_named_once(self) -> Self:
        if len(set(self.analyses)) != len(self.analyses):
            raise _refuse(
                ("analyses",), self.analyses, "repeated_analysis", "Name each analysis once"
            )
        return self


def finite(value: float) -> float | None:
    """`value`, or None where a report would otherwise hold NaN or infinity."""
    return value if math.isfinite(value) else None

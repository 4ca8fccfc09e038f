"""What a user asks for: a model, how it would be trained, on what data, and which analyses.

Every field says its unit and bounds. Unknown fields, NaN, infinity, and numbers written as
strings or booleans are refused, each with the path of the field. No torch is loaded here.
"""

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


ModelSpec = TransformerSpec


class Optimizer(StrEnum):
    ADAM = "adam"
    ADAMW = "adamw"
    RADAM = "radam"
    SGD = "sgd"
    SCHEDULE_FREE = "schedule_free"
    """AdamW whose weights are an average of its steps (Defazio et al. 2024)."""


class Schedule(StrEnum):
    """How the learning rate goes on after its linear warm-up."""

    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"
    INVERSE_SQRT = "inverse_sqrt"


class Autocast(StrEnum):
    """The number format of matrix products in training."""

    NONE = "none"
    """float32, as the weights."""
    BF16 = "bf16"
    """bfloat16 where it is safe; weights, norms and the loss stay float32."""


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
    accumulation: Annotated[Count, Field(le=10_000)] = 1
    """Batches whose gradients are averaged in one step."""
    clip_norm: Annotated[Real, Field(gt=0, le=1e9)] | None = None
    """The gradient's norm is cut to this; not at all unless given."""
    label_smoothing: Probability = 0.0
    """Share of each target's weight that is spread evenly over the vocabulary."""
    autocast: Autocast = Autocast.NONE


class TextData(Part):
    """Real English text that every CPython ships, as bytes."""

    kind: Literal["text"] = "text"
    name: Literal["pydoc"] = "pydoc"
    lengths: Literal["full", "varied"] = "full"
    """Whether every sequence fills its batch's length, or is cut at a random place between half
    of it and all of it, with padding behind, as a batch of sentences is."""

    objective: Literal["continuation", "denoising"] = "continuation"
    """What an encoder-decoder writes: the text that follows, or the spans that were cut out of its
    source. The other architectures have one objective each."""


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


class OutputChangeScale(StrEnum):
    """How the output change of a stack is to grow with its n sub-layers."""

    LOGARITHMIC = "O(log n)"
    CONSTANT = "O(1)"
    LINEAR = "O(n)"


class FirstValue(StrEnum):
    """The first omega of the `paper` convention, whose formula leaves it an empty sum."""

    EMBEDDING_VARIANCE = "embedding_variance"
    """The embedding counts as a branch before the first: omega_i^2 = Var[x_0] + sum_{j<i} Var[f_j],
    so that omega_1^2 = Var[x_0]."""
    ONE = "one"
    """omega_1 = 1, the others by the formula as it is printed."""


class Padding(StrEnum):
    """What happens to positions that hold no token."""

    COUNTED = "counted"
    """They enter each variance like all others, as in the authors' released code."""
    MASKED = "masked"
    """They enter no variance."""


class OmegaPasses(Part):
    """The forward passes that the branches are profiled in."""

    batches: Annotated[Count, Field(le=1_000)] = 1
    """Batches to average over, each from its own stretch of the data."""
    seeds: Annotated[Count, Field(le=100)] = 1
    """Fresh models to average over: seed, seed + 1, and so on, each with its own weights, data and
    dropout."""
    padding: Padding = Padding.COUNTED
    dropout: bool = True
    """Whether dropout is active, as in training."""


class ClinicOmega(OmegaPasses):
    """The authors' released code: omega_1 = 1; each omega is applied in the pass that measures it,
    omega_{i+1}^2 = Var[omega_i x_{i-1}] + Var[f_i(x_{i-1})]."""

    convention: Literal["clinic"] = "clinic"


class PaperOmega(OmegaPasses):
    """The paper's text: a pass with every omega 1, then omega_i^2 = sum_{j<i} Var[f_j]."""

    convention: Literal["paper"]
    first_value: FirstValue
    """What omega_1 is, which the formula leaves open."""

    @field_validator("first_value", mode="before")
    @classmethod
    def _the_embedding_survives(cls, first_value: Any) -> Any:
        if first_value in (0, "0", "zero") and not isinstance(first_value, bool):
            raise PydanticCustomError(
                "first_value_zero",
                "omega_1 = 0, the empty sum, deletes the embedding from the shortcut; give "
                "embedding_variance or one",
            )
        return first_value


class ClosedFormOmega(OmegaPasses):
    """One omega for all n sub-layers of a stack, from n alone, as in the `admin-torch` package;
    the passes only measure the branches under it."""

    convention: Literal["closed_form"]
    scale: OutputChangeScale
    """O(log n): omega^2 = (n + 1) / ln(n + 1) - 1; O(1): omega^2 = n; O(n): omega = 1."""


def _clinic_unless_named(omega: Any) -> Any:
    if isinstance(omega, Mapping) and "convention" not in omega:
        return {"convention": "clinic", **omega}
    return omega


OmegaSpec = Annotated[
    Annotated[ClinicOmega | PaperOmega | ClosedFormOmega, Field(discriminator="convention")],
    BeforeValidator(_clinic_unless_named),
]


class RandomStep(StrEnum):
    """What a random step on a weight is: its size times a sign, or times a standard Gaussian."""

    SIGN = "sign"
    GAUSSIAN = "gaussian"


class Perturbation(StrEnum):
    """A step of the parameters that is measured where it is asked for, beside the random sign and
    the optimizer's step, which always are."""

    GAUSSIAN = "gaussian"
    GRADIENT = "gradient"


class AmplificationSpec(Part):
    """How the output change is measured."""

    draws: Annotated[Count, Field(le=100)] = 3
    """Random steps to average over; each costs a forward pass."""
    also: tuple[Perturbation, ...] = ()
    """Further perturbations: Gaussian costs as many passes again, the gradient's sign one."""


class Analysis(StrEnum):
    """A part of a diagnosis. The branches' variances are part of every one."""

    OMEGA = "omega"
    AMPLIFICATION = "amplification"
    DEPENDENCY = "dependency"
    GRADIENTS = "gradients"
    """Also the stability rules and the numeric range, which come from the same pass."""
    VERDICT = "verdict"


ALL_ANALYSES = tuple(Analysis)


class Subject(Part):
    """A model, how it is trained and on what: the part that a diagnosis and a race share."""

    # `data` and `training` stand before `model`, so that these checks can name the field to change.
    data: DataSpec = TextData()
    training: TrainingSpec = TrainingSpec()
    model: ModelSpec

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

    @field_validator("model")
    @classmethod
    def _denoising_reads_and_writes(cls, model: ModelSpec, info: ValidationInfo) -> ModelSpec:
        data = info.data.get("data")
        denoising = isinstance(data, TextData) and data.objective == "denoising"
        if denoising and model.architecture is not Architecture.ENCODER_DECODER:
            raise _refuse(
                ("architecture",),
                model.architecture,
                "denoising_needs_two_stacks",
                "data.objective = denoising needs an encoder that reads and a decoder that writes, "
                f"not {model.architecture.value}; leave the objective out",
            )
        return model

    @field_validator("model")
    @classmethod
    def _positions_reach_the_end_of_a_sequence(
        cls, model: ModelSpec, info: ValidationInfo
    ) -> ModelSpec:
        training = info.data.get("training")
        learned = model.positions is Positions.LEARNED
        if learned and training and model.max_positions < training.sequence_length:
            raise _refuse(
                ("max_positions",),
                model.max_positions,
                "too_few_positions",
                f"{model.max_positions} learned positions end before training.sequence_length, "
                f"{training.sequence_length}",
            )
        return model


class DiagnosisSpec(Subject):
    """Everything a diagnosis needs. The same spec, seed and version give the same report."""

    seed: Annotated[Whole, Field(lt=2**63)] = 0
    """Of the weights, the data, dropout and the perturbations."""
    omega: OmegaSpec = ClinicOmega()
    """The convention for omega, and the passes that it is measured in."""
    amplification: AmplificationSpec = AmplificationSpec()
    """How the output change is measured."""
    analyses: Annotated[tuple[Analysis, ...], Field(min_length=1)] = ALL_ANALYSES

    @model_validator(mode="after")
    def _analyses_are_named_once(self) -> Self:
        if len(set(self.analyses)) != len(self.analyses):
            raise _refuse(
                ("analyses",), self.analyses, "repeated_analysis", "Name each analysis once"
            )
        return self

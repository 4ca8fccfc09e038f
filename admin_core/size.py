"""How large a spec is, worked out before anything is allocated.

Counts come from the spec alone, with Python's unbounded integers, so that no request can
overflow or allocate on its way to being refused. A test holds them against the built model.
"""

from dataclasses import dataclass

from admin_core.config_facts import check_model_type, parameters_at_least
from admin_core.errors import LimitExceededError
from admin_core.frames import FRAMES
from admin_core.spec import (
    Activation,
    Analysis,
    DiagnosisSpec,
    HuggingFaceSpec,
    ModelSpec,
    Norm,
    Positions,
    Scheme,
    Stack,
    Subject,
    TransformerSpec,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one job may take."""

    max_parameters: int
    """Weights of the model, ``TRIMTAB_MAX_PARAMETERS``."""

    max_tokens: int
    """Tokens of one batch in one stack, ``TRIMTAB_MAX_TOKENS``."""

    max_streamed_bytes: int = 0
    """Memory for the largest sub-layer of a model with more weights than `max_parameters`, which is
    then profiled a sub-layer at a time, ``TRIMTAB_MAX_STREAMED_BYTES``."""


def num_sublayers(model: TransformerSpec) -> dict[Stack, int]:
    """Sub-layers of each stack, the depth that the theory counts."""
    return {stack: n * model.sublayers_per_layer(stack) for stack, n in model.layers.items()}


def num_parameters(model: ModelSpec) -> int:
    """Weights of the model, tied ones counted once; of an architecture of Transformers, whose
    layers only its library knows, no more than it has."""
    return _built_in(model) if isinstance(model, TransformerSpec) else parameters_at_least(model)


def _built_in(model: TransformerSpec) -> int:
    d_model, d_ff = model.d_model, model.feed_forward_width
    per_feature = 2 if model.norm is Norm.LAYER_NORM else 1
    norm = per_feature * d_model
    attention = 2 * (d_model * d_model + d_model) + 2 * (d_model + 1) * model.kv_width
    if model.qk_norm:
        attention += 2 * per_feature * model.d_head
    matrices = 3 if model.activation is Activation.SWIGLU else 2
    feed_forward = matrices * d_model * d_ff + (matrices - 1) * d_ff + d_model

    embeddings = 1 if model.tied_embeddings else len(model.layers) + 1
    total = embeddings * model.vocab_size * d_model
    for stack, layers in model.layers.items():
        scheme = model.scheme_of(stack)
        frame = FRAMES[scheme]
        sublayers = model.sublayers_per_layer(stack)
        norms = frame.pre_norm + frame.branch_norm + frame.post_norm
        around = norms * norm
        if scheme is Scheme.ADMIN:
            around += d_model
        elif scheme is Scheme.REZERO:
            around += 1
        inside = 0
        if frame.inner_norm:
            inside = per_feature * ((sublayers - 1) * d_model + d_ff)
        layer = (sublayers - 1) * attention + feed_forward + sublayers * around + inside
        total += layers * layer + (frame.final_norm + frame.embedding_norm) * norm
        if model.positions is Positions.LEARNED:
            total += model.max_positions * d_model
    return total


def num_tokens(spec: Subject) -> int:
    """Tokens of one batch in one stack."""
    return spec.training.batch_size * spec.training.sequence_length


def is_streamed(spec: Subject, limits: Limits) -> bool:
    """Whether the model is too large to be held whole, but not its largest sub-layer."""
    return (
        isinstance(spec, DiagnosisSpec)
        and isinstance(spec.model, TransformerSpec)
        and num_parameters(spec.model) > limits.max_parameters
        and streamed_bytes(spec, spec.model) <= limits.max_streamed_bytes
    )


def streamed_bytes(spec: DiagnosisSpec, model: TransformerSpec) -> int:
    """Memory that a streamed profile takes, the process and its libraries not counted: the weights
    of a sub-layer with a moved copy of one of its matrices, or else the embedding; what the passes
    carry; and what is made inside a branch."""
    d_model, d_ff, kv_width = model.d_model, model.feed_forward_width, model.kv_width
    matrices = 3 if model.activation is Activation.SWIGLU else 2
    attention = 2 * d_model * (d_model + kv_width)
    moves = Analysis.AMPLIFICATION in spec.analyses or Analysis.VERDICT in spec.analyses
    weights = max(attention, matrices * d_model * d_ff)
    if moves:
        weights = max(attention + d_model * d_model, (matrices + 1) * d_model * d_ff)
    weights = max(weights, model.vocab_size * d_model)
    tokens = num_tokens(spec)
    passes = spec.omega.batches
    if moves:
        passes += 1 + spec.amplification.draws * (1 + len(spec.amplification.also))
    carried = (passes * (len(model.layers) + model.parallel) + 8) * tokens * d_model
    scores = tokens * spec.training.sequence_length * model.num_heads
    inside = max(2 * matrices * tokens * d_ff, 3 * scores + 5 * tokens * d_model)
    return 4 * (weights + carried + inside)


def check_parameters(parameters: int, limits: Limits) -> None:
    """Return if a model may have this many.

    Raises:
        LimitExceededError: it may not.
    """
    if parameters > limits.max_parameters:
        raise LimitExceededError(
            "model", "parameters", parameters, limits.max_parameters, "TRIMTAB_MAX_PARAMETERS"
        )


def check_limits(spec: Subject, limits: Limits) -> None:
    """Return if the spec fits, as far as it tells by itself.

    Raises:
        LimitExceededError: it does not; names the field, both figures and the setting.
        InvalidSpecError: the Transformers library has no such architecture.
    """
    if isinstance(spec.model, HuggingFaceSpec):
        check_model_type(spec.model)
    if not is_streamed(spec, limits):
        check_parameters(num_parameters(spec.model), limits)
    tokens = num_tokens(spec)
    if tokens > limits.max_tokens:
        raise LimitExceededError(
            "training.batch_size", "tokens", tokens, limits.max_tokens, "TRIMTAB_MAX_TOKENS"
        )

"""How large a spec is, worked out before anything is allocated.

Counts come from the spec alone, with Python's unbounded integers, so that no request can
overflow or allocate on its way to being refused. A test holds them against the built model.
"""

from dataclasses import dataclass

from admin_core.errors import LimitExceededError
from admin_core.spec import DiagnosisSpec, Scheme, Stack, TransformerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one job may take."""

    max_parameters: int
    """Weights of the model, ``TRIMTAB_MAX_PARAMETERS``."""

    max_tokens: int
    """Tokens of one batch in one stack, ``TRIMTAB_MAX_TOKENS``."""


def num_sublayers(model: TransformerSpec) -> dict[Stack, int]:
    """Sub-layers of each stack, the depth that the theory counts."""
    return {stack: n * model.sublayers_per_layer(stack) for stack, n in model.layers.items()}


def num_parameters(model: TransformerSpec) -> int:
    """Weights of the built-in Transformer, tied embeddings counted once."""
    d_model, d_ff = model.d_model, model.feed_forward_width
    norm = 2 * d_model
    attention = 4 * (d_model * d_model + d_model)
    feed_forward = 2 * d_model * d_ff + d_ff + d_model
    total = model.vocab_size * d_model
    for stack, layers in model.layers.items():
        sublayers = model.sublayers_per_layer(stack)
        scheme = model.scheme_of(stack)
        omega = d_model if scheme is Scheme.ADMIN else 0
        layer = (sublayers - 1) * attention + feed_forward + sublayers * (norm + omega)
        total += layers * layer
        if scheme is Scheme.PRE_LN:
            total += norm
    return total


def num_tokens(spec: DiagnosisSpec) -> int:
    """Tokens of one batch in one stack."""
    return spec.training.batch_size * spec.training.sequence_length


def check_limits(spec: DiagnosisSpec, limits: Limits) -> None:
    """Return if the spec fits.

    Raises:
        LimitExceededError: it does not; names the field, both figures and the setting.
    """
    parameters = num_parameters(spec.model)
    if parameters > limits.max_parameters:
        raise LimitExceededError(
            "model", "parameters", parameters, limits.max_parameters, "TRIMTAB_MAX_PARAMETERS"
        )
    tokens = num_tokens(spec)
    if tokens > limits.max_tokens:
        raise LimitExceededError(
            "training.batch_size", "tokens", tokens, limits.max_tokens, "TRIMTAB_MAX_TOKENS"
        )

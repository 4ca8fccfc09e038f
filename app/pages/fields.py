"""The fields of the form that asks for a diagnosis: the common ones, in the words of the spec.

A field's name is its path in the spec, so that what is wrong with it can be shown where it stands.
What has no field here is left to the JSON beside the form.
"""

from dataclasses import dataclass
from enum import StrEnum

from admin_core.spec import (
    Activation,
    Analysis,
    Architecture,
    Autocast,
    Initialisation,
    Norm,
    Optimizer,
    Positions,
    Schedule,
    Scheme,
    SyntheticName,
)
from app.pages.describing import SCHEMES


class FieldKind(StrEnum):
    """How what is typed becomes a value."""

    CHOICE = "choice"
    WHOLE = "whole"
    REAL = "real"
    TEXT = "text"


Options = tuple[tuple[str, str], ...]
"""Values with what is shown for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One field."""

    path: str
    label: str
    kind: FieldKind
    default: str = ""
    """What the spec means where it says nothing."""
    options: Options = ()
    hint: str = ""

    @property
    def steps(self) -> list[str]:
        return self.path.split(".")


def _choice(path: str, label: str, options: type[StrEnum] | Options, default: str) -> FormField:
    if isinstance(options, type):
        options = tuple((each.value, each.value.replace("_", " ")) for each in options)
    return FormField(
        path=path, label=label, kind=FieldKind.CHOICE, default=default, options=options
    )


def _number(
    path: str, label: str, default: str = "", kind: FieldKind = FieldKind.WHOLE, hint: str = ""
) -> FormField:
    return FormField(path=path, label=label, kind=kind, default=default, hint=hint)


REAL = FieldKind.REAL

_SCHEMES: Options = tuple((scheme.value, SCHEMES[scheme.value]) for scheme in Scheme)

MODEL = (
    _choice("model.architecture", "architecture", Architecture, "encoder_decoder"),
    _number("model.encoder_layers", "encoder layers"),
    _number("model.decoder_layers", "decoder layers"),
    _choice("model.scheme", "scheme", _SCHEMES, "post_ln"),
    _choice("model.scheme.decoder", "decoder's scheme", (("", "the same"), *_SCHEMES), ""),
    _number("model.d_model", "width, d_model"),
    _number("model.num_heads", "attention heads"),
    _number("model.d_ff", "feed-forward width", hint="4 times the width"),
    _number("model.vocab_size", "vocabulary", "256"),
    _choice("model.norm", "norm", Norm, "layer_norm"),
    _choice("model.activation", "activation", Activation, "relu"),
    _choice("model.positions", "positions", Positions, "sinusoidal"),
    _choice("model.initialisation", "initialisation", Initialisation, "xavier"),
    _number("model.dropout", "dropout", "0.1", REAL),
    _number("model.attention_dropout", "attention dropout", "0", REAL),
    _number("model.activation_dropout", "activation dropout", "0", REAL),
)

HUGGINGFACE = (
    _choice(
        "huggingface.scheme",
        "scheme",
        (
            ("", "as the architecture is"),
            *((s, t) for s, t in _SCHEMES if s in ("post_ln", "pre_ln", "admin")),
        ),
        "",
    ),
)

TRAINING = (
    _choice("training.optimizer", "optimizer", Optimizer, "adam"),
    _number("training.learning_rate", "peak learning rate", "0.001", REAL),
    _choice("training.schedule", "schedule", Schedule, "inverse_sqrt"),
    _number("training.warmup_steps", "warm-up steps", "4000"),
    _number("training.steps", "steps", "100000"),
    _number("training.batch_size", "batch size, sequences", "16"),
    _number("training.sequence_length", "sequence length, tokens", "64"),
    _number("training.betas.0", "Adam's beta 1", "0.9", REAL),
    _number("training.betas.1", "Adam's beta 2", "0.98", REAL),
    _number("training.weight_decay", "weight decay", "0", REAL),
    _number("training.clip_norm", "clip the gradient's norm at", "", REAL, hint="not at all"),
    _choice(
        "training.autocast",
        "matrix products in",
        (("none", "float32"), ("bf16", "bfloat16")),
        "none",
    ),
)

DATA = (
    _choice(
        "data.kind",
        "data",
        (
            ("text", "English text, as bytes"),
            ("synthetic", "a synthetic task"),
            ("upload", "a data set of mine"),
        ),
        "text",
    ),
    _choice("data.name", "task", SyntheticName, "copy"),
    FormField(path="data.id", label="id of the data set", kind=FieldKind.TEXT, hint="ds-..."),
)

SEED = _number("seed", "seed", "0")

ANALYSES: Options = (
    (Analysis.VERDICT.value, "verdict"),
    (Analysis.OMEGA.value, "omegas"),
    (Analysis.AMPLIFICATION.value, "output change"),
    (Analysis.DEPENDENCY.value, "dependency"),
    (Analysis.GRADIENTS.value, "gradients"),
    (Analysis.EDGES.value, "edges (some sixty probes more)"),
)

assert {value for value, _ in ANALYSES} == set(Analysis)
assert {value for value, _ in TRAINING[-1].options} == set(Autocast)

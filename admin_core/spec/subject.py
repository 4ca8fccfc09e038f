"""A model, how it is trained and on what: the part that a diagnosis and a race share."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from admin_core.spec.data import BYTES_VOCABULARY, DataSpec, Prose, TextData
from admin_core.spec.huggingface import HuggingFaceSpec
from admin_core.spec.model import Architecture, Positions, TransformerSpec
from admin_core.spec.parts import Part, refuse
from admin_core.spec.training import TrainingSpec

KINDS: dict[str, type[TransformerSpec] | type[HuggingFaceSpec]] = {
    "transformer": TransformerSpec,
    "huggingface": HuggingFaceSpec,
}


def _of_its_kind(model: Any) -> Any:
    """The spec that the body's `kind` names, checked here so that an error's path does not hold the
    kind, which is no field on the way."""
    if not isinstance(model, Mapping):
        return model
    kind = model.get("kind", "transformer")
    if kind not in list(KINDS):
        raise refuse(("kind",), None, "unknown_kind", f"Input should be one of {', '.join(KINDS)}")
    return KINDS[kind].model_validate(model)


ModelSpec = Annotated[
    Annotated[TransformerSpec | HuggingFaceSpec, Field(discriminator="kind")],
    BeforeValidator(_of_its_kind),
]
"""The built-in Transformer, which `kind` need not name, or an architecture of Transformers."""


class Subject(Part):
    """A model, how it is trained and on what: the part that a diagnosis and a race share."""

    # `data` and `training` stand before `model`, so that these checks can name the field to change.
    data: DataSpec = TextData()
    training: TrainingSpec = TrainingSpec()
    model: ModelSpec

    @field_validator("model")
    @classmethod
    def _model_fits_its_data(cls, model: ModelSpec, info: ValidationInfo) -> ModelSpec:
        # Of other kinds, the core knows once it has read what the library makes of the config.
        if isinstance(model, TransformerSpec):
            _check_vocabulary(model, info.data.get("data"))
            _check_objective(model, info.data.get("data"))
            _check_positions(model, info.data.get("training"))
        return model


def _check_vocabulary(model: TransformerSpec, data: DataSpec | None) -> None:
    if isinstance(data, TextData) and model.vocab_size < BYTES_VOCABULARY:
        raise refuse(
            ("vocab_size",),
            model.vocab_size,
            "vocabulary_too_small",
            f"The text is read as bytes and needs a vocabulary of at least {BYTES_VOCABULARY}, "
            f"not {model.vocab_size}",
        )


def _check_objective(model: TransformerSpec, data: DataSpec | None) -> None:
    denoising = isinstance(data, Prose) and data.objective == "denoising"
    if denoising and model.architecture is not Architecture.ENCODER_DECODER:
        raise refuse(
            ("architecture",),
            model.architecture,
            "denoising_needs_two_stacks",
            "data.objective = denoising needs an encoder that reads and a decoder that writes, "
            f"not {model.architecture.value}; leave the objective out",
        )


def _check_positions(model: TransformerSpec, training: TrainingSpec | None) -> None:
    learned = model.positions is Positions.LEARNED
    if learned and training and model.max_positions < training.sequence_length:
        raise refuse(
            ("max_positions",),
            model.max_positions,
            "too_few_positions",
            f"{model.max_positions} learned positions end before training.sequence_length, "
            f"{training.sequence_length}",
        )

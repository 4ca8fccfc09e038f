"""A model, how it is trained and on what: the part that a diagnosis and a race share."""

from pydantic import ValidationInfo, field_validator

from admin_core.spec.data import BYTES_VOCABULARY, DataSpec, Prose, TextData
from admin_core.spec.model import Architecture, ModelSpec, Positions
from admin_core.spec.parts import Part, refuse
from admin_core.spec.training import TrainingSpec


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
            raise refuse(
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
        denoising = isinstance(data, Prose) and data.objective == "denoising"
        if denoising and model.architecture is not Architecture.ENCODER_DECODER:
            raise refuse(
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
            raise refuse(
                ("max_positions",),
                model.max_positions,
                "too_few_positions",
                f"{model.max_positions} learned positions end before training.sequence_length, "
                f"{training.sequence_length}",
            )
        return model

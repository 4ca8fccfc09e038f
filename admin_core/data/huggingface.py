"""From a data spec to the batches that an architecture of the Transformers library is trained on.

Text, where the model reads it, is the same as the built-in Transformer's, with byte b as the b-th
ordinary token: one that the config names no special use for (padding, beginnings, images). A
vocabulary with fewer ordinary tokens than bytes gets uniform tokens instead.

Images and sounds are made: each class has a coarse pattern, and an example is its class's pattern
under noise of the same size, so that there is something to learn. Sounds that are to be written
down are noise, and so is what belongs to a text.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from admin_core.data.batch import IGNORED, Batch
from admin_core.data.batches import make_batch
from admin_core.data.dataset import Dataset
from admin_core.data.dataset_fit import check_length
from admin_core.data.reader import Reader
from admin_core.data.text import Split
from admin_core.errors import InvalidSpecError
from admin_core.models.heads import Head, Task
from admin_core.seeds import stream
from admin_core.spec import (
    BYTES_VOCABULARY,
    Architecture,
    DataSpec,
    Prose,
    Stack,
    SyntheticData,
    SyntheticName,
    TextData,
)

PATTERN = 8
"""Cells of a class's pattern along each side of an image, or along the time of a sound."""

MAX_NUMBERS = 2**27
"""Numbers in a batch of images or sounds (0.5 GB)."""

_ARCHITECTURES = {
    Task.MASKED_TEXT: Architecture.ENCODER_ONLY,
    Task.NEXT_TOKEN: Architecture.DECODER_ONLY,
    Task.TEXT_TO_TEXT: Architecture.ENCODER_DECODER,
    Task.SPEECH_TO_TEXT: Architecture.DECODER_ONLY,
    Task.TEXT_CLASS: Architecture.ENCODER_ONLY,
    Task.TOKEN_CLASS: Architecture.ENCODER_ONLY,
    Task.SPAN: Architecture.ENCODER_ONLY,
    Task.IMAGE_AND_TEXT: Architecture.ENCODER_ONLY,
}
"""As what a model for each task reads its text; those that are not here read none."""


@dataclass(frozen=True, kw_only=True)
class HuggingFaceData:
    """The batches of one model, by seed and step."""

    config: PreTrainedConfig
    head: Head
    data: DataSpec
    batch_size: int
    sequence_length: int
    dataset: Dataset | None = None
    """What `data` stands for, if that is an upload or of the hub."""

    def batch(self, *, seed: int, step: int = 0, split: Split = Split.WHOLE) -> Batch:
        """The batch of training step `step`; the same arguments give the same batch.

        Raises:
            InvalidSpecError: this package makes no inputs of the kind that the model reads, or the
                data spec asks for an objective that it does not have.
        """
        self._check_objective()
        held_out = ".held_out" if split is Split.HELD_OUT else ""
        generator = stream(seed, f"examples{held_out}.{step}")
        labels = torch.randint(self._num_labels, (self.batch_size,), generator=generator)
        # A class looks the same in every batch, and to every seed's model.
        pictured = labels if self.head.task in (Task.IMAGE_CLASS, Task.AUDIO_CLASS) else None

        def text(architecture: Architecture) -> Batch:
            return self._text(architecture, seed=seed, step=step, split=split)

        match self.head.task:
            case Task.MASKED_TEXT | Task.NEXT_TOKEN | Task.TEXT_TO_TEXT as task:
                return text(_ARCHITECTURES[task])
            case Task.SPEECH_TO_TEXT:
                written = text(Architecture.DECODER_ONLY)
                return Batch(
                    inputs={
                        **self._features(None, generator),
                        "decoder_input_ids": written.inputs["input_ids"],
                    },
                    targets=written.targets,
                )
            case Task.IMAGE_CLASS | Task.AUDIO_CLASS:
                return Batch(inputs=self._features(pictured, generator), targets=labels)
            case Task.TEXT_CLASS:
                return Batch(inputs=text(Architecture.ENCODER_ONLY).inputs, targets=labels)
            case Task.TOKEN_CLASS:
                read = text(Architecture.ENCODER_ONLY)
                classes = read.inputs["input_ids"] % self._num_labels
                padding = read.padding(Stack.ENCODER)
                if padding is not None:
                    classes = classes.masked_fill(padding, IGNORED)
                return Batch(inputs=read.inputs, targets=classes)
            case Task.SPAN:
                read = text(Architecture.ENCODER_ONLY)
                ends = torch.randint(
                    self.sequence_length, (2, self.batch_size), generator=generator
                )
                first, last = ends.sort(dim=0).values
                return Batch(
                    inputs={**read.inputs, "start_positions": first, "end_positions": last}
                )
            case Task.SPEECH_TOKENS:
                features = self._features(None, generator)
                said = torch.randint(
                    1, self._vocabulary, (self.batch_size, PATTERN), generator=generator
                )
                return Batch(inputs={**features, "labels": said})
            case Task.IMAGE_AND_TEXT:
                read = text(Architecture.ENCODER_ONLY)
                images = {"pixel_values": self._images(None, generator)}
                return Batch(inputs={**read.inputs, **images, "return_loss": True})
            case Task.NOTHING:
                return Batch(inputs=self._inputs_of_a_body(text, generator))

    @property
    def reads_tokens(self) -> bool:
        """Whether anything of a batch is drawn from the vocabulary."""
        return self.head.model_class.main_input_name == "input_ids" or self.head.task in (
            Task.SPEECH_TO_TEXT,
            Task.IMAGE_AND_TEXT,
        )

    @cached_property
    def tokens_are_bytes(self) -> bool:
        """Whether the vocabulary has room for every byte beside its special tokens."""
        return len(self._ordinary) >= BYTES_VOCABULARY

    def check_dataset(self, *, held_out: bool) -> None:
        """Return if the model can read the data set, if there is one, in such sequences.

        Args:
            held_out: whether the part for validation is read by itself, as in a race.

        Raises:
            InvalidSpecError: names the field to change.
        """
        if self.dataset is None:
            return
        facts, architecture = self.dataset.facts, self._text_architecture
        if architecture is None:
            raise InvalidSpecError(
                "data.kind",
                f"is {self.data.kind}, but {self._name} reads no text; leave data out, and its "
                "inputs are made",
            )
        if facts.parallel and self.head.task is not Task.TEXT_TO_TEXT:
            raise InvalidSpecError(
                "model.config.model_type",
                f"is {self.config.model_type}, but a source and a target need a model that reads "
                f"one text and writes another, which {self._name} does not; give it running text",
            )
        if len(self._ordinary) < facts.vocab_size:
            raise InvalidSpecError(
                "model.config.vocab_size",
                f"leaves {len(self._ordinary):,} tokens without a special use, below the "
                f"{facts.vocab_size:,} of the data set's tokenizer; give the model more",
            )
        check_length(self.data, architecture, self.sequence_length, facts, held_out=held_out)

    @property
    def _name(self) -> str:
        return self.head.model_class.__name__

    @property
    def _text_architecture(self) -> Architecture | None:
        """As what the model reads its text; None where it reads none."""
        if self.head.task is not Task.NOTHING:
            return _ARCHITECTURES.get(self.head.task)
        if self.head.model_class.main_input_name != "input_ids":
            return None
        both = self.config.is_encoder_decoder
        return Architecture.ENCODER_DECODER if both else Architecture.ENCODER_ONLY

    def _check_objective(self) -> None:
        denoising = isinstance(self.data, Prose) and self.data.objective == "denoising"
        if denoising and self.head.task is not Task.TEXT_TO_TEXT:
            raise InvalidSpecError(
                "data.objective",
                "denoising needs an encoder that reads text and a decoder that writes it, which "
                f"{self.config.model_type} has not; leave the objective out",
            )

    def _inputs_of_a_body(self, text: Any, generator: torch.Generator) -> Mapping[str, Any]:
        architecture = self._text_architecture
        if architecture is not None:
            return text(architecture).inputs  # type: ignore[no-any-return]
        return self._features(None, generator)

    # Text

    def _text(self, architecture: Architecture, *, seed: int, step: int, split: Split) -> Batch:
        ordinary = self._ordinary
        data = self.data
        if isinstance(data, TextData) and not self.tokens_are_bytes:
            data = SyntheticData(kind="synthetic", name=SyntheticName.UNIFORM)
        drawn = make_batch(
            data,
            Reader(architecture=architecture, vocab_size=len(ordinary)),
            batch_size=self.batch_size,
            sequence_length=self.sequence_length,
            seed=seed,
            step=step,
            split=split,
            dataset=self.dataset,
        )
        judged = drawn.targets != IGNORED
        targets = torch.where(judged, ordinary[drawn.targets.where(judged, 0)], IGNORED)
        both = architecture is Architecture.ENCODER_DECODER
        names = {"source": "", "target": "decoder_" if both else ""}
        inputs: dict[str, Any] = {}
        for stack, prefix in names.items():
            if stack in drawn.inputs:
                inputs[f"{prefix}input_ids"] = ordinary[drawn.inputs[stack]]
            if f"{stack}_padding" in drawn.inputs:
                inputs[f"{prefix}attention_mask"] = (~drawn.inputs[f"{stack}_padding"]).long()
        return Batch(inputs=inputs, targets=targets)

    @cached_property
    def _ordinary(self) -> Tensor:
        """The tokens without a special use, in order."""
        special = [token for token in _special_tokens(self.config) if token < self._vocabulary]
        ordinary = torch.ones(self._vocabulary, dtype=torch.bool)
        ordinary[special] = False
        found = ordinary.nonzero()[:, 0]
        # Two are the fewest that anything can be said with.
        return found if len(found) > 1 else torch.arange(self._vocabulary)

    @property
    def _vocabulary(self) -> int:
        text = self.config.get_text_config()
        # An architecture that reads characters has no vocabulary, but can read the first of them.
        return int(getattr(text, "vocab_size", None) or 2 * BYTES_VOCABULARY)

    # Images and sounds

    @property
    def _num_labels(self) -> int:
        return max(int(self.config.num_labels or 1), 1)

    def _features(self, labels: Tensor | None, generator: torch.Generator) -> dict[str, Tensor]:
        name = self.head.model_class.main_input_name
        if name == "pixel_values":
            return {name: self._images(labels, generator)}
        shape = self._sound_shape(name)
        if shape is None:
            raise InvalidSpecError(
                "model.config.model_type",
                f"reads {name}, which there is no data for here; diagnose it in a process of your "
                "own, with trimtab diagnose --module and --batch",
            )
        return {name: self._examples(labels, shape, generator)}

    def _images(self, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        vision = getattr(self.config, "vision_config", None) or self.config
        channels = int(getattr(vision, "num_channels", None) or 3)
        return self._examples(labels, (channels, *_image_sides(vision)), generator)

    def _sound_shape(self, name: str) -> tuple[int, ...] | None:
        """Of one sound as the model reads it, sequence_length frames where it may have any length:
        samples, or the energies of frequency bands."""
        config = self.config
        bands = getattr(config, "num_mel_bins", None)
        positions = getattr(config, "max_source_positions", None)
        if getattr(config, "conv_stride", None) is not None and name == "input_values":
            return (prod(config.conv_stride) * (self.sequence_length + 1),)
        if name == "input_features" and hasattr(config, "input_feat_per_channel"):
            return (4 * self.sequence_length, int(config.input_feat_per_channel))
        if name == "input_features" and bands and positions:
            # Two convolutions, the second of which halves the time, lead to the positions.
            return (int(bands), 2 * int(positions))
        if name == "input_features" and hasattr(config, "feature_projection_input_dim"):
            return (self.sequence_length, int(config.feature_projection_input_dim))
        if name == "input_values" and bands and hasattr(config, "max_length"):
            return (int(config.max_length), int(bands))
        return None

    def _examples(
        self, labels: Tensor | None, shape: tuple[int, ...], generator: torch.Generator
    ) -> Tensor:
        numbers = self.batch_size * prod(shape)
        if numbers > MAX_NUMBERS:
            raise InvalidSpecError(
                "training.batch_size",
                f"{self.batch_size} inputs of {' x '.join(map(str, shape))} hold {numbers:,} "
                f"numbers, above the limit of {MAX_NUMBERS:,}; make the batch or the config's "
                "inputs smaller",
            )
        noise = torch.randn(self.batch_size, *shape, generator=generator)
        if labels is None:
            return noise
        return torch.stack(
            [n + _pattern(int(label), shape) for n, label in zip(noise, labels, strict=True)]
        ) / (2**0.5)


def _pattern(label: int, shape: tuple[int, ...]) -> Tensor:
    """The coarse pattern of a class: cells of unit variance, PATTERN along each long side."""
    cells = [min(side, PATTERN) for side in shape]
    pattern = torch.randn(cells, generator=stream(label, "pattern"))
    for axis, side in enumerate(shape):
        nearest = torch.arange(side) * cells[axis] // side
        pattern = pattern.index_select(axis, nearest)
    return pattern


def _image_sides(vision: PreTrainedConfig) -> tuple[int, int]:
    size = getattr(vision, "image_size", None) or 224
    if isinstance(size, Mapping):
        return int(size["height"]), int(size["width"])
    if isinstance(size, Sequence):
        return int(size[0]), int(size[-1])
    return int(size), int(size)


def _special_tokens(config: PreTrainedConfig) -> Iterator[int]:
    """Every token that the config names a use for, those of its parts included."""
    for name, value in vars(config).items():
        if isinstance(value, PreTrainedConfig):
            yield from _special_tokens(value)
        elif name.endswith(("token_id", "token_index", "token_ids", "pad_index")):
            tokens = value if isinstance(value, list | tuple) else [value]
            yield from (t for t in tokens if isinstance(t, int) and t >= 0)

"""From a data spec to the batches that an architecture can be trained on.

    decoder-only      predict each next token
    encoder-decoder   read one stretch of text, write the stretch that follows it
    encoder-only      say which tokens were masked: 15 % of them, as in BERT

The synthetic tasks copy, reverse and sort have an answer instead: the encoder-decoder writes it,
the decoder-only model continues its question with it, the encoder-only model says it in place.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from admin_core.data import synthetic, text
from admin_core.data.batch import IGNORED, Batch
from admin_core.seeds import stream
from admin_core.spec import (
    Architecture,
    DataSpec,
    SyntheticData,
    SyntheticName,
    TextData,
    TransformerSpec,
)

MASK = 0
"""Stands for a hidden token, and before the first one. No text holds this byte."""

MASKED_SHARE = 0.15

TASKS = frozenset({SyntheticName.COPY, SyntheticName.REVERSE, SyntheticName.SORT})
"""The synthetic data that pose a question with an answer."""


def make_batch(
    data: DataSpec,
    model: TransformerSpec,
    *,
    batch_size: int,
    sequence_length: int,
    seed: int,
    step: int = 0,
) -> Batch:
    """The batch of training step `step`; the same arguments give the same batch.

    Every stack of the model gets batch_size * sequence_length tokens.
    """
    generator = stream(seed, f"data.{step}")

    def draw(length: int) -> Tensor:
        if isinstance(data, TextData):
            return text.windows(
                text.pydoc_tokens(), count=batch_size, length=length, generator=generator
            )
        return synthetic.draw(
            data.name,
            count=batch_size,
            length=length,
            vocabulary=model.vocab_size,
            generator=generator,
        )

    if isinstance(data, SyntheticData) and data.name in TASKS:
        return _task(data.name, draw, model.architecture, sequence_length)
    if model.architecture is Architecture.DECODER_ONLY:
        tokens = draw(sequence_length + 1)
        return Batch(inputs={"target": tokens[:, :-1]}, targets=tokens[:, 1:])
    if model.architecture is Architecture.ENCODER_DECODER:
        tokens = draw(2 * sequence_length + 1)
        source, target = tokens[:, :sequence_length], tokens[:, sequence_length:]
        return Batch(inputs={"source": source, "target": target[:, :-1]}, targets=target[:, 1:])
    tokens = draw(sequence_length)
    masked = torch.rand(tokens.shape, generator=generator) < MASKED_SHARE
    masked[:, 0] = True  # so that the shortest batch has a loss
    return Batch(
        inputs={"source": tokens.masked_fill(masked, MASK)},
        targets=tokens.masked_fill(~masked, IGNORED),
    )


def _task(
    name: SyntheticName,
    draw: Callable[[int], Tensor],
    architecture: Architecture,
    sequence_length: int,
) -> Batch:
    if architecture is Architecture.DECODER_ONLY:
        question = draw((sequence_length + 1) // 2)
        tokens = torch.cat([question, synthetic.transformed(name, question)], dim=1)
        tokens = tokens[:, : sequence_length + 1]
        inputs, targets = tokens[:, :-1], tokens[:, 1:].clone()
        targets[:, : question.shape[1] - 1] = IGNORED
        return Batch(inputs={"target": inputs}, targets=targets)
    question = draw(sequence_length)
    answer = synthetic.transformed(name, question)
    if architecture is Architecture.ENCODER_ONLY:
        return Batch(inputs={"source": question}, targets=answer)
    begun = torch.cat([torch.full_like(answer[:, :1], MASK), answer[:, :-1]], dim=1)
    return Batch(inputs={"source": question, "target": begun}, targets=answer)

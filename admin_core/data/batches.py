"""From a data spec to the batches that an architecture can be trained on.

    decoder-only      predict each next token
    encoder-decoder   read one stretch of text, write the stretch that follows it; or, denoising,
                      read a text with spans cut out and write the spans
    encoder-only      say which tokens were masked: 15 % of them, as in BERT

Of parallel text, the encoder-decoder reads a line and writes the other, a MASK at its end; lines
are cut at the sequence's length, and padded to the longest in the batch.

The synthetic tasks copy, reverse and sort have an answer instead: the encoder-decoder writes it,
the decoder-only model writes it behind the question and a MASK, the encoder-only model says it in
place.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from admin_core.data import synthetic, text
from admin_core.data.batch import IGNORED, Batch
from admin_core.data.dataset import Dataset
from admin_core.data.denoising import cut_spans
from admin_core.data.reader import Reader
from admin_core.data.span_lengths import text_length
from admin_core.data.text import Split
from admin_core.errors import InvalidSpecError
from admin_core.seeds import stream
from admin_core.spec import (
    Architecture,
    DataSpec,
    HubData,
    Prose,
    SyntheticData,
    SyntheticName,
    TextData,
    TransformerSpec,
    UploadData,
)

MASK = 0
"""Stands for a hidden token, before the first one and behind the last. No text holds this byte."""

MASKED_SHARE = 0.15

TASKS = frozenset({SyntheticName.COPY, SyntheticName.REVERSE, SyntheticName.SORT})
"""The synthetic data that pose a question with an answer."""


def make_batch(
    data: DataSpec,
    model: TransformerSpec | Reader,
    *,
    batch_size: int,
    sequence_length: int,
    seed: int,
    step: int = 0,
    split: Split = Split.WHOLE,
    dataset: Dataset | None = None,
) -> Batch:
    """The batch of training step `step`; the same arguments give the same batch.

    Args:
        dataset: what `data` stands for, if it is an upload or of the hub.

    Raises:
        InvalidSpecError: `data` stands for a data set, and none is given.

    Every stack of the model gets batch_size * sequence_length tokens; in denoising, the decoder
    gets as many as the cut-out spans hold. Synthetic data have no parts that could be held out:
    there a held-out batch is one that no training step draws.
    """
    if dataset is None and isinstance(data, UploadData | HubData):
        raise InvalidSpecError("data", "stands for a data set, which only the service can find")
    held_out = ".held_out" if split is Split.HELD_OUT else ""
    generator = stream(seed, f"data{held_out}.{step}")

    def draw(length: int) -> Tensor:
        if isinstance(data, TextData):
            return text.windows(
                text.pydoc_tokens(split), count=batch_size, length=length, generator=generator
            )
        if dataset is not None:
            return dataset.windows(split, count=batch_size, length=length, generator=generator)
        assert isinstance(data, SyntheticData)
        return synthetic.draw(
            data.name,
            count=batch_size,
            length=length,
            vocabulary=model.vocab_size,
            generator=generator,
        )

    if isinstance(data, SyntheticData) and data.name in TASKS:
        return _task(data.name, draw, model.architecture, sequence_length)
    if dataset is not None and dataset.facts.parallel:
        pairs = dataset.records(split, count=batch_size, generator=generator)
        return _translation(pairs, sequence_length)
    if isinstance(data, Prose) and data.objective == "denoising":
        source, answer = cut_spans(draw(text_length(sequence_length)), generator)
        batch = Batch(inputs={"source": source, "target": _begun(answer)}, targets=answer)
    elif model.architecture is Architecture.DECODER_ONLY:
        tokens = draw(sequence_length + 1)
        batch = Batch(inputs={"target": tokens[:, :-1]}, targets=tokens[:, 1:])
    elif model.architecture is Architecture.ENCODER_DECODER:
        tokens = draw(2 * sequence_length + 1)
        source, target = tokens[:, :sequence_length], tokens[:, sequence_length:]
        batch = Batch(inputs={"source": source, "target": target[:, :-1]}, targets=target[:, 1:])
    else:
        tokens = draw(sequence_length)
        masked = torch.rand(tokens.shape, generator=generator) < MASKED_SHARE
        masked[:, 0] = True  # so that the shortest batch has a loss
        batch = Batch(
            inputs={"source": tokens.masked_fill(masked, MASK)},
            targets=tokens.masked_fill(~masked, IGNORED),
        )
    varied = isinstance(data, Prose) and data.lengths == "varied"
    return _shortened(batch, generator) if varied else batch


def _shortened(batch: Batch, generator: torch.Generator) -> Batch:
    """The batch with each sequence of each stack cut at a place between half its length and all
    of it, and padding behind."""
    inputs: dict[str, Tensor] = {}
    targets = batch.targets
    for name, tokens in batch.inputs.items():
        count, length = tokens.shape
        kept = torch.randint((length + 1) // 2, length + 1, (count, 1), generator=generator)
        padding = torch.arange(length) >= kept
        inputs |= {name: tokens.masked_fill(padding, MASK), f"{name}_padding": padding}
        if name == "target" or "target" not in batch.inputs:
            targets = targets.masked_fill(padding, IGNORED)
    return Batch(inputs=inputs, targets=targets)


def _translation(pairs: Sequence[Sequence[list[int]]], sequence_length: int) -> Batch:
    """What an encoder-decoder learns of pairs of a source and its target."""
    source, source_padding = _padded([source[:sequence_length] for source, _ in pairs])
    answer, padding = _padded([[*target, MASK][:sequence_length] for _, target in pairs])
    return Batch(
        inputs={
            "source": source,
            "source_padding": source_padding,
            "target": _begun(answer),
            "target_padding": padding,
        },
        targets=answer.masked_fill(padding, IGNORED),
    )


def _padded(lines: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """The lines as one tensor with MASK behind the shorter ones, and where those stand."""
    lengths = torch.tensor([len(line) for line in lines])
    longest = int(lengths.max())
    tokens = torch.tensor([line + [MASK] * (longest - len(line)) for line in lines])
    return tokens, torch.arange(longest) >= lengths[:, None]


def _task(
    name: SyntheticName,
    draw: Callable[[int], Tensor],
    architecture: Architecture,
    sequence_length: int,
) -> Batch:
    if architecture is Architecture.DECODER_ONLY:
        question = draw((sequence_length + 1) // 2)
        begin = torch.full_like(question[:, :1], MASK)
        tokens = torch.cat([question, begin, synthetic.transformed(name, question)], dim=1)
        inputs, targets = tokens[:, :sequence_length], tokens[:, 1 : sequence_length + 1].clone()
        targets[:, : question.shape[1]] = IGNORED
        return Batch(inputs={"target": inputs}, targets=targets)
    question = draw(sequence_length)
    answer = synthetic.transformed(name, question)
    if architecture is Architecture.ENCODER_ONLY:
        return Batch(inputs={"source": question}, targets=answer)
    return Batch(inputs={"source": question, "target": _begun(answer)}, targets=answer)


def _begun(answer: Tensor) -> Tensor:
    """What a decoder reads while it writes `answer`: a MASK, then its own words."""
    return torch.cat([torch.full_like(answer[:, :1], MASK), answer[:, :-1]], dim=1)

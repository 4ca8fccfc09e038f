"""A data set as tokens, in files of which only what a batch needs is read.

A data set's folder holds

    content        the lines, as they were uploaded or fetched
    facts.json     their `DatasetFacts`
    tokens/        once a job has read it: the facts with exact counts, the tokenizer, and for each
                   column its tokens one after another, and where each record ends

The records to train on come first, then those that are held out, so that each part is one stretch.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from admin_core.data.dataset_facts import BEING_MADE, CONTENT, FACTS, TOKENS, DatasetFacts
from admin_core.data.records import Record, is_held_out, read_records
from admin_core.data.text import Split
from admin_core.data.tokenizer import BpeTokenizer, BytesTokenizer, Tokens, train_bpe
from admin_core.progress import OnProgress, Progress, ignore_progress
from admin_core.spec import TokenizerName

END = ord("\n")
"""Follows each record of running text."""

BYTES_AT_ONCE = 2**20
"""Of text that is made into tokens, which take a hundred times as much memory for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """The texts of one column."""

    tokens: Tokens
    """Of all records, one after another."""

    ends: NDArray[np.int64]
    """Where each record ends in them; the first entry is 0, where the first begins."""

    def record(self, number: int) -> Tokens:
        return self.tokens[self.ends[number] : self.ends[number + 1]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A data set that batches can be drawn from."""

    facts: DatasetFacts
    """With tokens counted."""

    columns: tuple[Column, ...]

    def windows(
        self, split: Split, *, count: int, length: int, generator: torch.Generator
    ) -> Int[Tensor, "count length"]:
        """`count` stretches of `length` tokens from random places of running text."""
        (column,) = self.columns
        records = self._records(split)
        begin, end = (int(column.ends[edge]) for edge in (records.start, records.stop))
        places = torch.randint(begin, end - length + 1, (count,), generator=generator)
        stretches = [column.tokens[place : place + length] for place in places.tolist()]
        return torch.from_numpy(np.stack(stretches).astype(np.int64))

    def records(
        self, split: Split, *, count: int, generator: torch.Generator
    ) -> list[tuple[list[int], ...]]:
        """`count` random records, each with its columns' tokens."""
        records = self._records(split)
        drawn = torch.randint(records.start, records.stop, (count,), generator=generator)
        return [
            tuple(column.record(number).tolist() for column in self.columns)
            for number in drawn.tolist()
        ]

    def _records(self, split: Split) -> range:
        lines = self.facts.lines
        first_held_out = lines - self.facts.held_out_lines
        return {
            Split.WHOLE: range(lines),
            Split.TRAINING: range(first_held_out),
            Split.HELD_OUT: range(first_held_out, lines),
        }[split]


def open_dataset(folder: Path, *, on_progress: OnProgress = ignore_progress) -> Dataset:
    """The data set of a folder with content and facts, read as tokens if no job has yet.

    Args:
        on_progress: called now and then while tokens are made; may raise `AnalysisCancelledError`.
    """
    tokens = folder / TOKENS
    if not tokens.is_dir():
        _tokenize(folder, tokens, on_progress)
    facts = DatasetFacts.model_validate_json((tokens / FACTS).read_bytes())
    columns = tuple(
        Column(
            tokens=np.memmap(tokens / f"{number}.tokens", np.uint16, mode="r"),
            ends=np.load(tokens / f"{number}.ends.npy"),
        )
        for number in range(len(facts.columns))
    )
    return Dataset(facts=facts, columns=columns)


def _tokenize(folder: Path, tokens: Path, on_progress: OnProgress) -> None:
    """Make `tokens` in one go, so that no half of it is ever seen."""
    unfinished = Path(tempfile.mkdtemp(prefix=BEING_MADE, dir=folder))
    try:
        _write_tokens(folder, unfinished, on_progress)
        try:
            os.rename(unfinished, tokens)
        except OSError:
            # Another job was faster, with the same result.
            if not tokens.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_tokens(folder: Path, unfinished: Path, on_progress: OnProgress) -> None:
    facts = DatasetFacts.model_validate_json((folder / FACTS).read_bytes())
    on_progress(Progress("tokens", 0.0))
    tokenizer: BytesTokenizer | BpeTokenizer = BytesTokenizer()
    if facts.tokenizer.name is TokenizerName.BPE:
        texts = (text for record in _read(folder, facts, held_out=False) for text in record)
        tokenizer = train_bpe(
            texts, vocab_size=facts.vocab_size, path=unfinished / "tokenizer.json"
        )
    ends = [[0] for _ in facts.columns]
    training_tokens = 0
    for held_out in (False, True):
        for some in _some_at_once(_read(folder, facts, held_out=held_out)):
            for number, texts_of_column in enumerate(zip(*some, strict=True)):
                encoded = _encoded(tokenizer, texts_of_column, ended=not facts.parallel)
                with (unfinished / f"{number}.tokens").open("ab") as file:
                    file.write(np.concatenate(encoded).tobytes())
                ends[number] += (ends[number][-1] + np.cumsum([len(e) for e in encoded])).tolist()
            on_progress(Progress("tokens", 0.0))
        if not held_out:
            training_tokens = sum(each[-1] for each in ends)
    for number, each in enumerate(ends):
        np.save(unfinished / f"{number}.ends.npy", np.array(each, np.int64))
    end = 0 if facts.parallel else 1
    counted = facts.model_copy(
        update={
            "training_tokens": training_tokens,
            "held_out_tokens": sum(each[-1] for each in ends) - training_tokens,
            "longest": tuple(int(np.diff(each).max()) - end for each in ends),
            "tokens_are_exact": True,
        }
    )
    (unfinished / FACTS).write_text(counted.model_dump_json())


def _read(folder: Path, facts: DatasetFacts, *, held_out: bool) -> Iterator[Record]:
    with (folder / CONTENT).open("rb") as file:
        for number, record in enumerate(read_records(file, facts.format, facts.columns)):
            if is_held_out(number) == held_out:
                yield record


def _some_at_once(records: Iterable[Record]) -> Iterator[list[Record]]:
    """All records, in lists of about `BYTES_AT_ONCE`."""
    some: list[Record] = []
    size = 0
    for record in records:
        some.append(record)
        size += sum(map(len, record))
        if size >= BYTES_AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _encoded(
    tokenizer: BytesTokenizer | BpeTokenizer, texts: Sequence[str], *, ended: bool
) -> list[Tokens]:
    encoded = tokenizer.encode(texts)
    if not ended:
        return encoded
    return [np.append(each, np.uint16(END)) for each in encoded]

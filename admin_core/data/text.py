"""Real English that needs no download: the language reference that every CPython ships.

The text differs between Python versions, so its hash belongs in every report.
"""

import functools
import hashlib
import pydoc_data.topics
from enum import StrEnum

import torch
from torch import Tensor


class Split(StrEnum):
    """Which part of a text."""

    WHOLE = "whole"
    TRAINING = "training"
    HELD_OUT = "held_out"
    """Every tenth topic, about a tenth of the text, which no training batch holds."""


@functools.cache
def pydoc_text(split: Split = Split.WHOLE) -> bytes:
    """English prose and code, as UTF-8; about 0.5 MB when whole."""
    topics = pydoc_data.topics.topics
    held_out = set(sorted(topics)[6::10])
    wanted = {
        Split.WHOLE: set(topics),
        Split.TRAINING: set(topics) - held_out,
        Split.HELD_OUT: held_out,
    }[split]
    return "\n".join(topics[name] for name in sorted(wanted)).encode()


def pydoc_sha256() -> str:
    return hashlib.sha256(pydoc_text()).hexdigest()


@functools.cache
def pydoc_tokens(split: Split = Split.WHOLE) -> Tensor:
    """The text as one long line of bytes; the only control byte in it is the line feed."""
    return torch.frombuffer(bytearray(pydoc_text(split)), dtype=torch.uint8).long()


def windows(tokens: Tensor, *, count: int, length: int, generator: torch.Generator) -> Tensor:
    """`count` stretches of `length` tokens from random places; count length.

    The text is repeated where it is shorter than a window.
    """
    if len(tokens) < length + 1:
        tokens = tokens.repeat(-(-(length + 1) // len(tokens)))
    starts = torch.randint(len(tokens) - length, (count,), generator=generator)
    return torch.stack([tokens[start : start + length] for start in starts.tolist()])

"""Real English that needs no download: the language reference that every CPython ships.

The text differs between Python versions, so its hash belongs in every report.
"""

import functools
import hashlib
import pydoc_data.topics

import torch
from torch import Tensor


@functools.cache
def pydoc_text() -> bytes:
    """About 0.6 MB of English prose and code, as UTF-8."""
    topics = pydoc_data.topics.topics
    return "\n".join(topics[name] for name in sorted(topics)).encode()


def pydoc_sha256() -> str:
    return hashlib.sha256(pydoc_text()).hexdigest()


@functools.cache
def pydoc_tokens() -> Tensor:
    """The text as one long line of bytes; no byte of it is 0."""
    return torch.frombuffer(bytearray(pydoc_text()), dtype=torch.uint8).long()


def windows(tokens: Tensor, *, count: int, length: int, generator: torch.Generator) -> Tensor:
    """`count` stretches of `length` tokens from random places; count length.

    The text is repeated where it is shorter than a window.
    """
    if len(tokens) < length + 1:
        tokens = tokens.repeat(-(-(length + 1) // len(tokens)))
    starts = torch.randint(len(tokens) - length, (count,), generator=generator)
    return torch.stack([tokens[start : start + length] for start in starts.tolist()])

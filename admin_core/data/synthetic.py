"""Tokens drawn from a rule. Token 0 is left free: it marks masks and beginnings."""

import torch
from torch import Tensor

from admin_core.spec import SyntheticName


def draw(
    name: SyntheticName, *, count: int, length: int, vocabulary: int, generator: torch.Generator
) -> Tensor:
    """Independent tokens from 1 to vocabulary - 1, with Zipf's frequencies (1 / rank) where the
    name says so, uniform otherwise; count length."""
    if name is SyntheticName.ZIPF:
        # The inverse of the distribution function, which a table of cumulated weights gives.
        cumulated = torch.arange(1, vocabulary).double().reciprocal().cumsum(0)
        level = torch.rand(count, length, generator=generator, dtype=torch.float64) * cumulated[-1]
        return torch.searchsorted(cumulated, level).clamp_(max=vocabulary - 2) + 1
    return torch.randint(1, vocabulary, (count, length), generator=generator)


def transformed(name: SyntheticName, tokens: Tensor) -> Tensor:
    """What a model should make of `tokens`: a copy, unless the name asks for another order."""
    if name is SyntheticName.REVERSE:
        return tokens.flip(1)
    if name is SyntheticName.SORT:
        return tokens.sort(dim=1).values
    return tokens

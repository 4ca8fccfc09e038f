"""What can be known of an answer without looking at any other place.

In a causal language model the token at a place tells a good deal of the one that follows, and the
shortcut alone carries it to the output. Where the answer is what was masked, copied or sorted, the
token at its place tells nothing, and a model comes below the unigram loss only once its attention
has learned where to look.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from admin_core.data.batch import IGNORED, Batch
from admin_core.seeds import stream

LEAST_LEFT = 0.05
"""The share of the answers' entropy that accident must leave, for anything to be said."""

_READ_AT_THE_PLACE = ("decoder_input_ids", "target", "input_ids", "source")
"""Inputs of which the first that is there holds the token at the place of each answer."""


def told_at_hand(batches: Iterable[Batch]) -> float:
    """The share of the answers' entropy that the token at their place tells, or the number of the
    place, whichever tells more:

        max over k in {token, place} of (I - I_shuffled) / (H(answer) - I_shuffled)

    with I = I(k; answer), I_shuffled that of shuffled answers, which is what so few seem to tell by
    accident, and entropies of the frequencies seen. 0 where no token stands at an answer's place,
    as of images; 1, so that nothing seems wrong, where the answers are too few to tell.
    """
    places: list[Tensor] = []
    tokens: list[Tensor] = []
    answers: list[Tensor] = []
    for batch in batches:
        read = next(
            (batch.inputs[name] for name in _READ_AT_THE_PLACE if name in batch.inputs), None
        )
        if read is None or read.shape != batch.targets.shape:
            return 0.0
        counts = batch.targets != IGNORED
        number = torch.arange(batch.targets.shape[-1], device=batch.device)
        for kept, values in (
            (places, number.expand_as(batch.targets)),
            (tokens, read),
            (answers, batch.targets),
        ):
            kept.append(values[counts].cpu())
    answer = torch.cat(answers)
    told = [_told(torch.cat(known), answer) for known in (tokens, places)]
    return max((share for share in told if share is not None), default=1.0)


def _told(known: Tensor, answer: Tensor) -> float | None:
    """The share; None where the answers are too few to tell."""
    order = torch.randperm(len(answer), generator=stream(0, "at_hand"))
    by_accident = _information(known, answer[order])
    left = _entropy(answer) - by_accident
    if left <= LEAST_LEFT * _entropy(answer):
        return None
    return max(0.0, _information(known, answer) - by_accident) / left


def _information(x: Tensor, y: Tensor) -> float:
    """I(x; y) in nats."""
    both = x * (int(y.max()) + 1) + y
    return _entropy(x) + _entropy(y) - _entropy(both)


def _entropy(x: Tensor) -> float:
    counts = torch.unique(x, return_counts=True)[1].double()
    shares = counts / counts.sum()
    return float(-(shares * shares.log()).sum())

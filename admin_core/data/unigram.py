"""The unigram loss: what a model that has learned how frequent each token is, and nothing of its
context, loses on average. Deep networks that do not train stay there."""

from collections.abc import Iterable

import torch

from admin_core.data.batch import IGNORED, Batch


def unigram_entropy(batches: Iterable[Batch]) -> float:
    """-sum_v p_v ln p_v in nats, with p_v the share of token v among all targets of `batches`."""
    counts = torch.zeros(0, dtype=torch.float64)
    for batch in batches:
        targets = batch.targets[batch.targets != IGNORED].cpu()
        found = torch.bincount(targets, minlength=len(counts)).double()
        found[: len(counts)] += counts
        counts = found
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * shares.log()).sum())

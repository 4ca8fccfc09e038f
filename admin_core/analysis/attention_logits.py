"""The logits and the entropy of an attention, head by head.

The model's own attention never shows its logits, so they are computed once more from the queries
and keys that enter it.

Notation:
    l_ts      logit of query t for key s, q_t . k_s / sqrt(d_head), as it enters the softmax
    p_ts      softmax of l_ts over the keys that the query may see
    H_t       entropy of the query, -sum_s p_ts ln p_ts, in nats
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

HIDDEN = -1e4
"""What is added to a logit to hide its key is less than this, in any number format."""

MAX_LOGITS = 2**22
"""Logits that are held in memory at a time."""


@dataclass(frozen=True, slots=True)
class LogitRange:
    """The logits of one attention."""

    largest: Float[Tensor, " heads"]
    """max |l_ts| over the pairs that may see each other."""

    entropy: Float[Tensor, " heads"]
    """Mean H_t over queries, in nats."""

    relative_entropy: Float[Tensor, " heads"] | None
    """Mean of H_t / ln(keys seen) over the queries that see two or more; None where none does."""


@torch.no_grad()
def logit_range(
    queries: Float[Tensor, "batch heads seq d_head"],
    keys: Float[Tensor, "batch kv_heads source d_head"],
    *,
    causal: bool,
    padding: Bool[Tensor, "batch source"] | None = None,
    padded_queries: bool = False,
    mask: Shaped[Tensor, "..."] | None = None,
    scale: float | None = None,
) -> LogitRange:
    """Logits recomputed in float32, a bounded number at a time.

    Args:
        queries, keys: as they enter the dot product; with fewer key heads than query heads each
            serves a group of neighbouring queries.
        causal: whether query t sees the keys s <= t alone.
        padding: True at the keys that hold no token.
        padded_queries: whether `padding` tells of the queries too, which are then left out.
        mask: as torch's attention takes one, for all of batch, heads, seq and source or broadcast
            to them: True where a query sees a key, or what is added to the logit, which hides the
            key where it is as good as minus infinity.
        scale: of q_t . k_s; 1 / sqrt(d_head) unless given.
    """
    batch, heads, seq, d_head = queries.shape
    source = keys.shape[2]
    keys = keys.float().repeat_interleave(heads // keys.shape[1], dim=1)
    scale = 1 / math.sqrt(d_head) if scale is None else scale
    mask = (
        None
        if mask is None
        else mask.expand(batch, mask.shape[-3] if mask.ndim > 2 else 1, seq, source)
    )
    position = torch.arange(max(seq, source), device=queries.device)
    largest = torch.zeros(heads, device=queries.device)
    # Rows: entropy, relative entropy; then how many queries each is the sum over.
    sums = torch.zeros(2, heads, dtype=torch.float64, device=queries.device)
    counts = torch.zeros_like(sums)
    num_sequences = max(1, MAX_LOGITS // (heads * seq * source))
    num_queries = max(1, MAX_LOGITS // (heads * source))
    for first in range(0, batch, num_sequences):
        part = slice(first, first + num_sequences)
        for start in range(0, seq, num_queries):
            rows = slice(start, start + num_queries)
            logits = queries[part, :, rows].float() @ keys[part].mT * scale
            visible = torch.ones_like(logits[:, :1], dtype=torch.bool)
            if causal:
                visible &= position[:seq][rows, None] >= position[:source]
            if padding is not None:
                visible &= ~padding[part, None, None, :]
                if padded_queries:
                    visible &= ~padding[part, None, rows, None]
            if mask is not None:
                here = mask[part, :, rows]
                if here.dtype == torch.bool:
                    visible = visible & here
                else:
                    visible = visible & (here > HIDDEN)
                    logits = logits + here.float().where(here > HIDDEN, 0)
            seen = visible.sum(-1)  # sequences, 1 or heads, queries
            largest = largest.maximum(logits.abs().where(visible, 0).amax(dim=(0, 2, 3)))
            log_p = logits.where(visible, -math.inf).log_softmax(-1)
            entropy = -(log_p.exp() * log_p).where(visible, 0).sum(-1)
            relative = torch.where(seen > 1, entropy / seen.clamp(min=2).log(), 0)
            sums += torch.stack([entropy.double().sum((0, 2)), relative.double().sum((0, 2))])
            counts += torch.stack([(seen > 0).sum((0, 2)), (seen > 1).sum((0, 2))])
    entropy, relative = (sums / counts.clamp(min=1)).float()
    return LogitRange(largest, entropy, relative if (counts[1] > 0).any() else None)

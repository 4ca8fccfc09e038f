"""How far attention is concentrated: the entropy of its weights in one pass.

Attention that a few steps have driven to single places cannot be moved away from them, because the
gradient of its logits is the smaller the nearer its weights are to 0 and 1 (Zhai et al. 2023,
entropy collapse). Logits that are not scaled, or weights that grow fast, get there first.

Notation:
    a_qk      weight of key k for query q, of the n_q keys that the query may see
    H_q       -sum_k a_qk log a_qk, in nats
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

HIDDEN = -1e4
"""Logits at or below it are of keys that a mask hides."""

MAX_SEQUENCES = 4
MAX_PLACES = 256
"""What is looked at of each attention, in queries and in keys."""

ATTENTION = {F.scaled_dot_product_attention, F.softmax, torch.softmax, Tensor.softmax}
"""Calls that may be attention."""


class AttentionWatch(TorchFunctionMode):
    """While it is entered, every attention of batch, heads, queries, keys is looked at: a call of
    scaled dot product attention, or a softmax of four axes."""

    def __init__(self) -> None:
        super().__init__()
        self._entropies: list[Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in ATTENTION:  # first, because every operation of the model comes by here
            self._see(func, args, kwargs)
        return func(*args, **kwargs)

    @torch.no_grad()
    def _see(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if func is F.scaled_dot_product_attention:
            logits = _logits(*args, **kwargs)
        else:
            logits = _of_softmax(*args, **kwargs)
        entropy = None if logits is None else entropy_share(logits)
        if entropy is not None:
            self._entropies.append(entropy)

    @property
    def least_entropy(self) -> float | None:
        """Mean over queries of H_q / log n_q, of the attention where that is least: 1 where all
        keys weigh the same, 0 where one has all the weight. None where none was seen."""
        found = [float(entropy) for entropy in self._entropies]
        return min((e for e in found if e == e), default=None)


def entropy_share(logits: Tensor) -> Tensor | None:
    """Mean of H_q / log n_q over the queries with more than one key to see; None where there is
    none.

    Args:
        logits: batch, heads, queries, keys; at or below HIDDEN where a mask hides the key.
    """
    logits = logits.detach().float()
    seen = logits > HIDDEN
    weights = logits.masked_fill(~seen, -torch.inf).softmax(-1)
    entropy = -torch.special.xlogy(weights, weights).sum(-1)
    keys = seen.sum(-1)
    chosen = keys > 1
    if not chosen.any():
        return None
    shares: Tensor = entropy[chosen] / keys[chosen].float().log()
    return shares.mean()


def _of_softmax(input: Tensor, *_: object, **__: object) -> Tensor | None:
    """What is looked at of it; None where there are not four axes."""
    if input.ndim != 4:
        return None
    return input[:MAX_SEQUENCES, :, :MAX_PLACES, :MAX_PLACES]


def _logits(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor | None:
    """Of the call with these arguments; None where there are not four axes."""
    if query.ndim != 4 or key.ndim != 4:
        return None
    q = query[:MAX_SEQUENCES, :, :MAX_PLACES].float()
    k = key[:MAX_SEQUENCES, :, :MAX_PLACES].float()
    if enable_gqa:
        k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    logits = q @ k.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        after = torch.ones(logits.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        logits = logits.masked_fill(after, -torch.inf)
    if attn_mask is not None:
        mask = attn_mask[..., : q.shape[2], : k.shape[2]]
        if mask.ndim == 4 and mask.shape[0] > 1:
            mask = mask[:MAX_SEQUENCES]
        is_kept = mask.dtype is torch.bool
        logits = logits.masked_fill(~mask, -torch.inf) if is_kept else logits + mask
    return logits

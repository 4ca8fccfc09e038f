"""How far attention is concentrated: the entropy of its weights in one pass.

Attention that a few steps have driven to single places cannot be moved away from them, because the
gradient of its logits is the smaller the nearer its weights are to 0 and 1 (Zhai et al. 2023,
entropy collapse). Logits that are not scaled, or weights that grow fast, get there first.

Notation:
    a_qk      weight of key k for query q, of the n_q keys that the query may see
    H_q       -sum_k a_qk log a_qk, in nats
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from admin_core.analysis.attention_logits import HIDDEN, logit_range
from admin_core.analysis.attention_watch import AttentionMode

MAX_SEQUENCES = 4
MAX_PLACES = 256
"""What is looked at of each attention, in queries and in keys."""

SOFTMAX = {F.softmax, torch.softmax, Tensor.softmax}


class AttentionWatch(AttentionMode):
    """While it is entered, every attention of batch, heads, queries, keys is looked at: a call of
    scaled dot product attention, or a softmax of four axes."""

    def __init__(self) -> None:
        super().__init__(self._see_call)
        self._entropies: list[Callable[[], Tensor | None]] = []

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: tuple[Any, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        if function in SOFTMAX and arguments and arguments[0].ndim == 4:
            logits = _kept(arguments[0][..., :MAX_PLACES])
            self._entropies.append(lambda: entropy_share(logits))
        return super().__torch_function__(function, types, arguments, options)

    def _see_call(
        self, query: Tensor, key: Tensor, mask: Tensor | None, causal: bool, scale: float | None
    ) -> None:
        query, key = _kept(query), _kept(key)
        if mask is not None:
            mask = mask[..., : query.shape[2], : key.shape[2]]
            mask = mask[:MAX_SEQUENCES] if mask.ndim == 4 else mask

        def entropy() -> Tensor | None:
            found = logit_range(query, key, causal=causal, mask=mask, scale=scale).relative_entropy
            return None if found is None else found.mean()

        self._entropies.append(entropy)

    @property
    def least_entropy(self) -> float | None:
        """Mean over queries of H_q / log n_q, of the attention where that is least: 1 where all
        keys weigh the same, 0 where one has all the weight. None where none was seen.

        Worked out when it is asked for, since of most passes it is not."""
        entropies = (entropy() for entropy in self._entropies)
        found = [float(entropy) for entropy in entropies if entropy is not None]
        return min((entropy for entropy in found if entropy == entropy), default=None)


def _kept(x: Tensor) -> Tensor:
    """What is looked at of batch, heads, places, features, whatever becomes of the tensor."""
    return x[:MAX_SEQUENCES, :, :MAX_PLACES].detach().clone()


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

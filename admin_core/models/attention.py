"""Multi-head attention as a residual branch."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from admin_core.models.rotary import rotate


class Attention(nn.Module):
    """softmax(q k^T / sqrt(d_head)) v, projected back to the model's width.

    Attends to `memory` where one is given (cross-attention), otherwise to its own input. With
    fewer key and value heads than query heads, each serves a group of queries.
    """

    def __init__(
        self,
        *,
        d_model: int,
        num_heads: int,
        num_kv_heads: int,
        dropout: float,
        causal: bool,
        rotary: bool = False,
        query_norm: nn.Module | None = None,
        key_norm: nn.Module | None = None,
        inner_norm: nn.Module | None = None,
    ) -> None:
        """`query_norm` and `key_norm` act on each head (QK-norm); `inner_norm` on all heads
        together, before the output projection (sub-LN)."""
        super().__init__()
        self.d_head = d_model // num_heads
        self.num_heads = num_heads
        self.dropout = dropout
        self.causal = causal
        self.rotary = rotary
        kv_width = self.d_head * num_kv_heads
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_model, kv_width)
        self.value = nn.Linear(d_model, kv_width)
        self.query_norm = query_norm or nn.Identity()
        self.key_norm = key_norm or nn.Identity()
        self.inner_norm = inner_norm or nn.Identity()
        self.output = nn.Linear(d_model, d_model)

    def forward(
        self,
        x: Float[Tensor, "batch seq d_model"],
        memory: Float[Tensor, "batch source d_model"] | None = None,
        padding: Bool[Tensor, "batch source"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """`padding` is True at the attended positions that hold no token."""
        queries, keys = self.queries_and_keys(x, memory)
        values = self._heads(self.value(x if memory is None else memory))
        mask = self.mask(queries.shape[2], padding)
        context = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal and mask is None,
            enable_gqa=values.shape[1] != self.num_heads,
        )  # batch heads seq d_head
        return self.output(self.inner_norm(context.transpose(1, 2).flatten(2)))  # type: ignore[no-any-return]

    def queries_and_keys(
        self,
        x: Float[Tensor, "batch seq d_model"],
        memory: Float[Tensor, "batch source d_model"] | None = None,
    ) -> tuple[
        Float[Tensor, "batch heads seq d_head"], Float[Tensor, "batch kv_heads source d_head"]
    ]:
        """What enters the dot product, norms and positions applied."""
        queries = self.query_norm(self._heads(self.query(x)))
        keys = self.key_norm(self._heads(self.key(x if memory is None else memory)))
        if self.rotary:
            queries, keys = rotate(queries), rotate(keys)
        return queries, keys

    def mask(
        self, seq: int, padding: Bool[Tensor, "batch source"] | None
    ) -> Bool[Tensor, "batch 1 seq_or_1 source"] | None:
        """True where a query may look, or None where only causality, if anything, limits it."""
        if padding is None:
            return None
        visible = padding.logical_not()[:, None, None, :]
        if not self.causal:
            return visible
        past = torch.ones(seq, padding.shape[1], dtype=torch.bool, device=padding.device).tril()
        return visible & past

    def _heads(self, x: Tensor) -> Tensor:
        """batch seq (heads d_head) -> batch heads seq d_head"""
        batch, seq, _ = x.shape
        return x.view(batch, seq, -1, self.d_head).transpose(1, 2)

"""Multi-head attention as a residual branch."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Attention(nn.Module):
    """softmax(q k^T / sqrt(d_head)) v, projected back to the model's width.

    Attends to `memory` where one is given (cross-attention), otherwise to its own input.
    """

    def __init__(self, *, d_model: int, num_heads: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.causal = causal
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_model, d_model)
        self.value = nn.Linear(d_model, d_model)
        self.output = nn.Linear(d_model, d_model)

    def forward(
        self,
        x: Float[Tensor, "batch seq d_model"],
        memory: Float[Tensor, "batch source d_model"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        attended = x if memory is None else memory
        context = F.scaled_dot_product_attention(
            self._heads(self.query(x)),
            self._heads(self.key(attended)),
            self._heads(self.value(attended)),
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal,
        )  # batch heads seq d_head
        return self.output(context.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _heads(self, x: Tensor) -> Tensor:
        """batch seq (heads d_head) -> batch heads seq d_head"""
        batch, seq, _ = x.shape
        return x.view(batch, seq, self.num_heads, -1).transpose(1, 2)

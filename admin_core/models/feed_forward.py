"""The position-wise feed-forward network as a residual branch."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class FeedForward(nn.Module):
    """W_out relu(W_in x)."""

    def __init__(self, *, d_model: int, d_ff: int, activation_dropout: float) -> None:
        super().__init__()
        self.input = nn.Linear(d_model, d_ff)
        self.output = nn.Linear(d_ff, d_model)
        self.dropout = nn.Dropout(activation_dropout)

    def forward(self, x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
        return self.output(self.dropout(F.relu(self.input(x))))  # type: ignore[no-any-return]

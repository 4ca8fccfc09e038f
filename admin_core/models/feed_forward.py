"""The position-wise feed-forward network as a residual branch."""

from jaxtyping import Float
from torch import Tensor, nn


class FeedForward(nn.Module):
    """W_out activation(W_in x), with a norm before W_out in sub-LN."""

    def __init__(
        self,
        *,
        d_model: int,
        d_ff: int,
        activation: nn.Module,
        dropout: float,
        inner_norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.input = nn.Linear(d_model, d_ff)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)
        self.inner_norm = inner_norm or nn.Identity()
        self.output = nn.Linear(d_ff, d_model)

    def hidden(self, x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_ff"]:
        return self.activation(self.input(x))  # type: ignore[no-any-return]

    def forward(self, x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
        return self.output(self.inner_norm(self.dropout(self.hidden(x))))  # type: ignore[no-any-return]


class GatedFeedForward(FeedForward):
    """W_out (silu(W_gate x) * W_in x): SwiGLU. Source: Shazeer 2020."""

    def __init__(
        self, *, d_model: int, d_ff: int, dropout: float, inner_norm: nn.Module | None = None
    ) -> None:
        super().__init__(
            d_model=d_model,
            d_ff=d_ff,
            activation=nn.SiLU(),
            dropout=dropout,
            inner_norm=inner_norm,
        )
        self.gate = nn.Linear(d_model, d_ff)

    def hidden(self, x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_ff"]:
        return self.activation(self.gate(x)) * self.input(x)  # type: ignore[no-any-return]

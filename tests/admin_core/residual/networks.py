"""Small networks that somebody else might have written, for the tests of discovery."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModel

WIDTH = 8

SIZES = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
"""Of a small network of Transformers."""

IDS = torch.arange(14).view(2, 7)

Add = Callable[[Tensor, Tensor], Tensor]


def architecture(model_type: str, **config: Any) -> nn.Module:
    """An architecture of Transformers with fresh weights."""
    settings = AutoConfig.for_model(model_type, **config)
    model: nn.Module = AutoModel.from_config(settings)  # type: ignore[no-untyped-call]
    return model


def tokens(batch: int = 2, length: int = 5) -> Tensor:
    """A batch of embedded tokens."""
    return torch.randn(batch, length, WIDTH, generator=torch.Generator().manual_seed(0))


class Attention(nn.Module):
    """Two heads, scores written out, with whatever is added to them."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, WIDTH // 2)).transpose(1, 3).unbind(2)
        scores = q @ k.transpose(-1, -2) / 2
        if bias is not None:
            scores = scores + bias
        mask = torch.full(scores.shape[-2:], -1e9).triu(1).expand_as(scores)
        mixed = (scores + mask).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """With a tanh GELU written out, which adds x to x^3, and biases added by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, 2 * WIDTH, bias=False)
        self.bias = nn.Parameter(torch.zeros(2 * WIDTH))
        self.down = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(x) + self.bias
        x = 0.5 * x * (1 + torch.tanh(0.8 * (x + 0.044715 * x**3)))
        return self.down(x)  # type: ignore[no-any-return]


class Layers(nn.Module):
    """A Pre-LN stack in which `add` adds each branch to the stream."""

    def __init__(self, add: Add = torch.add, depth: int = 2) -> None:
        super().__init__()
        self.add = add
        self.positions = nn.Parameter(torch.randn(2, 5, WIDTH))
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm1": nn.LayerNorm(WIDTH),
                    "attention": Attention(),
                    "norm2": nn.LayerNorm(WIDTH),
                    "mlp": FeedForward(),
                }
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.positions
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleDict)
            x = self.add(x, layer["attention"](layer["norm1"](x)))
            x = self.add(x, layer["mlp"](layer["norm2"](x)))
        return self.norm(x)  # type: ignore[no-any-return]


class Block(nn.Module):
    """Base of one-layer networks: everything that they are made from."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention, self.mlp = Attention(), FeedForward()


class Parallel(Block):
    """One shortcut, two branches; the order in which they are added is given."""

    def __init__(self, order: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        return self.order(x, self.attention(y), self.mlp(y))


class RotatedPair(Block):
    """Queries are rotated before attention, by a sum of two products."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        angle = torch.arange(y.shape[1]).float()[:, None].expand(-1, WIDTH)
        halves = torch.cat([-y[..., WIDTH // 2 :], y[..., : WIDTH // 2]], -1)
        return x + self.attention(y * angle.cos() + halves * angle.sin())  # type: ignore[no-any-return]


class Experts(Block):
    """A mixture: two experts by index, summed into zeros, and one for all."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(WIDTH, 2)
        self.experts = nn.ModuleList([FeedForward(), FeedForward()])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mixture(self.norm2(x))

    def mixture(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        weights = self.router(flat).softmax(-1)
        total = torch.zeros_like(flat)
        for number, expert in enumerate(self.experts):
            chosen = (weights.argmax(-1) == number).nonzero().flatten()
            total.index_add_(0, chosen, expert(flat[chosen]) * weights[chosen, number, None])
        return total.view_as(x) + self.mlp(x)  # type: ignore[no-any-return]


class StateSpace(Block):
    """A recurrence over tokens with a skip of its own, as in Mamba."""

    def __init__(self) -> None:
        super().__init__()
        self.mixer = Recurrence()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mixer(self.norm1(x))  # type: ignore[no-any-return]


class Recurrence(nn.Module):
    """h_t = exp(-a_t) h_{t-1} + b_t u_t,   y_t = c_t h_t + D u_t"""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.parts = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.conv = nn.Conv1d(WIDTH, WIDTH, 3, padding=2, groups=WIDTH)
        self.skip = nn.Parameter(torch.ones(WIDTH))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        u = F.silu(self.conv(self.into(x).transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        a, b, c = self.parts(u).chunk(3, -1)
        decay, state, seen = torch.exp(-F.softplus(a)), torch.zeros_like(u[:, 0]), []
        for t in range(x.shape[1]):
            state = decay[:, t] * state + (b * u)[:, t]
            seen.append(c[:, t] * state)
        return self.out(torch.stack(seen, 1) + u * self.skip)  # type: ignore[no-any-return]


class RelativeBias(nn.Module):
    """A bias made once from the input and added to the scores of every layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Block(), Block()])
        self.bias = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias(x).transpose(1, 2)[..., None].expand(-1, -1, -1, x.shape[1])
        for layer in self.layers:
            assert isinstance(layer, Block)
            x = layer.norm1(x + layer.attention(x, bias))
        return x


class Queries(nn.Module):
    """A decoder whose learned queries are added to its state before every attention."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(WIDTH, 2, 16, batch_first=True) for _ in range(2)
        )
        self.query = nn.Parameter(torch.randn(2, 3, WIDTH))

    def forward(self, memory: Tensor) -> Tensor:
        x = torch.zeros_like(self.query)
        for layer in self.layers:
            assert isinstance(layer, nn.TransformerDecoderLayer)
            asking = x + self.query
            x = layer.norm1(x + layer.self_attn(asking, asking, x)[0])
            x = layer.norm2(x + layer.multihead_attn(x + self.query, memory, memory)[0])
            x = layer.norm3(x + layer.linear2(layer.linear1(x).relu()))
        return x


class ResNet(nn.Module):
    """Two stages of two blocks; the second begins with a projected shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ConvBlock(*sizes) for sizes in ((3, 8, 1), (8, 8, 1), (8, 16, 2), (16, 16, 1))
        )
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


class ConvBlock(nn.Module):
    """relu(x + bn(conv(relu(bn(conv(x))))))"""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1)
        self.bn1, self.bn2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        self.down = (
            nn.Identity()
            if (before, stride) == (after, 1)
            else nn.Sequential(nn.Conv2d(before, after, 1, stride), nn.BatchNorm2d(after))
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        out += self.down(x)
        return out.relu()  # type: ignore[no-any-return]


class UNet(nn.Module):
    """Skips by concatenation, and two scales that are added up as in a feature pyramid."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(11, 8, 3, 1, 1)
        self.pyramid = Pyramid()

    def forward(self, x: Tensor) -> Tensor:
        low = self.down(x).relu()
        high = F.interpolate(low, scale_factor=2.0)
        joined = self.up(torch.cat([x, high], 1)).relu()
        return self.pyramid(x, joined)  # type: ignore[no-any-return]


class Pyramid(nn.Module):
    """Adds up what was computed elsewhere, at two scales."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral, self.top = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        return self.lateral(fine) + self.top(coarse)  # type: ignore[no-any-return]


class Recomputed(nn.Module):
    """Every layer is recomputed in the backward pass."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, 2, 16, dropout=0.0, batch_first=True)
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=self.reentrant)
        return x


class AddNorm(nn.Module):
    """Adds and norms in one module, and returns both."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, branch: Tensor, stream: Tensor) -> tuple[Tensor, Tensor]:
        stream = branch + stream
        return F.rms_norm(stream, (WIDTH,), self.weight), stream


class FusedPreNorm(nn.Module):
    """x + f in one module with the next sub-layer's norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.RMSNorm(WIDTH)
        self.add_norms = nn.ModuleList([AddNorm(), AddNorm()])
        self.attention, self.mlp = Attention(), FeedForward()

    def forward(self, x: Tensor) -> Tensor:
        y, x = self.add_norms[0](self.attention(self.first(x)), x)
        y, x = self.add_norms[1](self.mlp(y), x)
        return y  # type: ignore[no-any-return]

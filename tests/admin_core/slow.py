"""The slow, obvious Transformer: float64, one token at a time, straight from a model's weights.

It shares no line with the model's own forward pass, only its weights and its settings. Dropout is
off.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from admin_core.models.attention import Attention
from admin_core.models.embedding import Embedding, LearnedPositions
from admin_core.models.feed_forward import FeedForward, GatedFeedForward
from admin_core.models.sublayer import (
    ConstantShortcutAddition,
    GatedAddition,
    ScaledShortcutAddition,
    SubLayer,
)
from admin_core.models.transformer import LayerStack, Transformer
from admin_core.spec import Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowRecord:
    """What happened at one sub-layer; all tensors are batch seq d_model."""

    stack: Stack
    index: int
    """i, from 1, restarting in each stack."""

    path: str
    x: Tensor
    """x_{i-1}, before any omega."""

    f: Tensor
    """f_i(x_{i-1}), its branch norm applied and any gate of the addition not."""

    total: Tensor
    """omega_i * x_{i-1} + gate_i * f_i(x_{i-1})."""

    state: Tensor
    """x_i."""


def slow_pass(
    model: Transformer,
    batch_inputs: Mapping[str, Tensor],
    *,
    omegas: Mapping[str, float] | None = None,
    memory: Tensor | None = None,
) -> list[SlowRecord]:
    """Every sub-layer of one pass in evaluation mode, the encoder's first.

    Args:
        omegas: a scale on the shortcut by the path of its sub-layer, beside the model's own.
        memory: what the decoder attends to in place of the encoder's output.
    """
    model = copy.deepcopy(model).double().eval()
    records: list[SlowRecord] = []
    padding = batch_inputs.get("source_padding")
    with torch.no_grad():
        encoded = None
        for stack in Stack:
            layers = getattr(model, stack.value)
            if layers is None:
                continue
            is_encoder = stack is Stack.ENCODER
            encoded = _stack(
                records,
                stack,
                layers,
                batch_inputs["source" if is_encoder else "target"],
                padding=padding if is_encoder else None,
                memory=encoded if memory is None else memory,
                memory_padding=padding,
                omegas=omegas or {},
            )
    return records


def _stack(
    records: list[SlowRecord],
    stack: Stack,
    layers: LayerStack,
    tokens: Tensor,
    *,
    padding: Tensor | None,
    memory: Tensor | None,
    memory_padding: Tensor | None,
    omegas: Mapping[str, float],
) -> Tensor:
    x = slow_embedding(layers.embedding, tokens)
    index = 0
    for number, layer in enumerate(layers.layers):
        entered = x
        for name in ("self_attention", "cross_attention", "feed_forward"):
            sublayer: SubLayer | None = getattr(layer, name)
            if sublayer is None:
                continue
            index += 1
            path = f"{stack.value}.layers.{number}.{name}"
            read = entered if layer.parallel and name == "feed_forward" else x
            read = slow_norm(sublayer.pre_norm, read)
            if name == "feed_forward":
                f = slow_feed_forward(sublayer.branch, read)
            elif name == "self_attention":
                f = slow_attention(sublayer.branch, read, read, padding)
            else:
                f = slow_attention(sublayer.branch, read, memory, memory_padding)
            f = slow_norm(sublayer.branch_norm, f)
            total = slow_addition(sublayer.add, omegas.get(path, 1.0) * x, f)
            state = slow_norm(sublayer.post_norm, total)
            records.append(
                SlowRecord(stack=stack, index=index, path=path, x=x, f=f, total=total, state=state)
            )
            x = state
    return slow_norm(layers.final_norm, x)


def slow_embedding(embedding: Embedding, tokens: Tensor) -> Tensor:
    """scale * E[token] + position, where the position is a trainable row, or sin and cos of
    t / 10000^(k / (half - 1)), or nothing."""
    d_model = embedding.tokens.embedding_dim
    half = d_model // 2
    x = torch.zeros(*tokens.shape, d_model, dtype=torch.float64)
    for b in range(tokens.shape[0]):
        for t in range(tokens.shape[1]):
            x[b, t] = embedding.scale * embedding.tokens.weight[tokens[b, t]]
            if isinstance(embedding.positions, LearnedPositions):
                x[b, t] += embedding.positions.table.weight[t]
            elif embedding.positions is not None:
                for k in range(half):
                    angle = t / 10_000 ** (k / max(half - 1, 1))
                    x[b, t, k] += math.sin(angle)
                    x[b, t, half + k] += math.cos(angle)
    return slow_norm(embedding.norm, x)


def slow_addition(add: nn.Module, shortcut: Tensor, f: Tensor) -> Tensor:
    """omega * x + f, or x + gate * f, or x + f"""
    if isinstance(add, ScaledShortcutAddition):
        return add.omega * shortcut + f
    if isinstance(add, ConstantShortcutAddition):
        return add.alpha * shortcut + f
    if isinstance(add, GatedAddition):
        return shortcut + add.gate * f
    return shortcut + f


def slow_norm(norm: nn.Module, x: Tensor) -> Tensor:
    """LayerNorm, RMSNorm or nothing, a row at a time."""
    if isinstance(norm, nn.Identity):
        return x
    rows = []
    for row in x.reshape(-1, x.shape[-1]):
        if isinstance(norm, nn.RMSNorm):
            assert norm.eps is not None
            mean_square = (row**2).sum() / len(row)
            rows.append(row / math.sqrt(mean_square + norm.eps) * norm.weight)
            continue
        assert isinstance(norm, nn.LayerNorm), norm
        mean = row.sum() / len(row)
        variance = ((row - mean) ** 2).sum() / len(row)
        rows.append((row - mean) / math.sqrt(variance + norm.eps) * norm.weight + norm.bias)
    return torch.stack(rows).view(x.shape)


def slow_attention(
    attention: nn.Module, x: Tensor, attended: Tensor | None, padding: Tensor | None
) -> Tensor:
    """softmax(q k^T / sqrt(d_head)) v, a query and a head at a time.

    Args:
        padding: True at attended positions that hold no token; batch source.
    """
    assert isinstance(attention, Attention)
    assert attended is not None
    d_head, heads = attention.d_head, attention.num_heads
    kv_heads = len(attention.key.weight) // d_head
    out = torch.empty_like(x)
    for b in range(x.shape[0]):
        q = x[b] @ attention.query.weight.T + attention.query.bias
        k = attended[b] @ attention.key.weight.T + attention.key.bias
        v = attended[b] @ attention.value.weight.T + attention.value.bias
        contexts = []
        for h in range(heads):
            served = h * kv_heads // heads
            of_group = slice(served * d_head, (served + 1) * d_head)
            q_head = slow_norm(attention.query_norm, q[:, h * d_head : (h + 1) * d_head])
            k_head = slow_norm(attention.key_norm, k[:, of_group])
            if attention.rotary:
                q_head, k_head = slow_rotation(q_head), slow_rotation(k_head)
            rows = []
            for t in range(len(q)):
                seen = [
                    s
                    for s in range(len(k))
                    if not (attention.causal and s > t)
                    and not (padding is not None and padding[b, s])
                ]
                logits = [float(q_head[t] @ k_head[s]) / math.sqrt(d_head) for s in seen]
                weights = [math.exp(logit - max(logits)) for logit in logits]
                mixed = torch.zeros(d_head, dtype=torch.float64)
                for weight, s in zip(weights, seen, strict=True):
                    mixed += weight / sum(weights) * v[s, of_group]
                rows.append(mixed)
            contexts.append(torch.stack(rows))
        context = slow_norm(attention.inner_norm, torch.cat(contexts, dim=1))
        out[b] = context @ attention.output.weight.T + attention.output.bias
    return out


def slow_rotation(x: Tensor) -> Tensor:
    """The pair (k, k + half) of position t turned by t / 10000^(2k / d_head), as complex numbers;
    seq d_head."""
    seq, d_head = x.shape
    half = d_head // 2
    turned = torch.empty_like(x)
    for t in range(seq):
        for k in range(half):
            angle = t * 10_000 ** (-2 * k / d_head)
            pair = complex(x[t, k], x[t, half + k]) * complex(math.cos(angle), math.sin(angle))
            turned[t, k], turned[t, half + k] = pair.real, pair.imag
    return turned


def slow_feed_forward(feed_forward: nn.Module, x: Tensor) -> Tensor:
    """W_out activation(W_in x), a token at a time; SwiGLU multiplies by a gate."""
    assert isinstance(feed_forward, FeedForward)
    out = torch.empty_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            hidden = feed_forward.input.weight @ x[b, t] + feed_forward.input.bias
            if isinstance(feed_forward, GatedFeedForward):
                gate = feed_forward.gate.weight @ x[b, t] + feed_forward.gate.bias
                hidden = gate / (1 + torch.exp(-gate)) * hidden
            elif isinstance(feed_forward.activation, nn.ReLU):
                hidden = torch.where(hidden > 0, hidden, 0.0)
            else:  # GELU
                hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
            hidden = slow_norm(feed_forward.inner_norm, hidden)
            out[b, t] = feed_forward.output.weight @ hidden + feed_forward.output.bias
    return out


def slow_variance(x: Tensor) -> float:
    """Population variance over all elements, by its definition."""
    values: Sequence[float] = x.flatten().tolist()
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / len(values)

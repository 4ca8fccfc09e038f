"""What a residual branch is, by what it computes and, where that leaves a choice, by its name.

Attention is a call of it, or a softmax between two products of tensors that both depend on the
input. It is cross-attention where the keys come from elsewhere than the queries' stream.
"""

import re
from collections.abc import Iterable

from admin_core.report import Role
from admin_core.residual.additions import Shortcut
from admin_core.residual.operations import (
    ATTENTION,
    CONVOLUTIONS,
    FOURIER,
    LEARNED,
    MIXING,
    POOLING,
    PRODUCTS,
    RECURRENT,
    SCANS,
)
from admin_core.residual.provenance import between
from admin_core.residual.trace import Value

NAMES = (
    (Role.MIXER, re.compile(r"mamba|ssm|rwkv|lstm|recurrent|hyena|fourier|token_?mix|delta")),
    (Role.SELF_ATTENTION, re.compile(r"att(n|ention)|retention")),
    (Role.FEED_FORWARD, re.compile(r"mlp|ffn|ff\b|feed_?forward|fc\d?\b|moe|expert|intermediate")),
)
"""Words in a module's name or class, the first that occurs."""

EXPONENTIALS = frozenset({"exp", "exp2", "softplus", "logsigmoid", *SCANS})
"""How the decay of a state space or a recurrence is made."""


def role_of(shortcut: Shortcut, name: str, *, origin: Value | None = None) -> Role:
    """What the branch of a shortcut is.

    Args:
        name: path and class of the branch's own module.
        origin: x_0 of the stack; the shortcut's own x without it.
    """
    region = shortcut.region
    keys = list(attended(region))
    if keys:
        own = [shortcut.x] if origin is None else [shortcut.x, origin]
        crossing = all(not any(_descends(key, x) for x in own) for key in keys)
        return Role.CROSS_ATTENTION if crossing else Role.SELF_ATTENTION
    operations = {value.operation for value in region}
    if operations & FOURIER or operations & RECURRENT:
        return Role.MIXER
    named = next((role for role, words in NAMES if words.search(name.lower())), None)
    if named is not None:
        return named
    if _convolves(region):
        return Role.MIXER if operations & EXPONENTIALS else Role.CONVOLUTION
    if operations & (POOLING | SCANS) or any(_is_dynamic(value) for value in region):
        return Role.MIXER
    if operations & LEARNED:
        return Role.FEED_FORWARD
    return Role.OTHER


def attended(region: Iterable[Value]) -> Iterable[Value]:
    """The keys of every attention in a branch."""
    for value in region:
        if value.operation in ATTENTION:
            if len(value.inputs) >= 2:
                yield value.inputs[1]
        elif value.operation == "softmax" and _is_read_by_product(value):
            scores = _product_before(value)
            if scores is not None:
                yield scores.inputs[1]


def _descends(value: Value, x: Value) -> bool:
    return value is x or bool(between(x, value))


def _is_dynamic(value: Value) -> bool:
    """A product of two tensors that both depend on the input."""
    varying = [v for v in value.inputs if not v.constant]
    return value.operation in PRODUCTS and len(varying) >= 2


def _product_before(softmax: Value) -> Value | None:
    """The product that made the scores: back through masks, scales, biases and layouts."""
    front, steps = list(softmax.inputs), 0
    while front and steps < 64:
        value, steps = front.pop(0), steps + 1
        if _is_dynamic(value):
            return value
        if value.operation not in MIXING:
            front += [v for v in value.inputs if not v.constant]
    return None


def _is_read_by_product(softmax: Value) -> bool:
    front, steps = list(softmax.consumers), 0
    while front and steps < 64:
        value, steps = front.pop(0), steps + 1
        if _is_dynamic(value):
            return True
        if value.operation not in MIXING:
            front += value.consumers
    return False


def _convolves(region: Iterable[Value]) -> bool:
    """Whether a convolution looks at neighbours: a kernel of one is a linear map."""
    for value in region:
        if value.operation in CONVOLUTIONS and len(value.inputs) >= 2:
            dimensions = 1 + int(value.operation[-2])
            if any(size > 1 for size in value.inputs[1].shape[-dimensions + 1 :]):
                return True
    return False

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
    SAMPLING,
    SCANS,
)
from admin_core.residual.provenance import between
from admin_core.residual.trace import Value

FEED_FORWARD = re.compile(
    r"\b(mlps?|ffn?|feed forward|fc\d?|moe|experts?|intermediate|positionwise)\b"
)
MIXER = re.compile(r"\b(mamba2?|ssm|rwkv|lstm|recurrent|hyena|fourier|token mix(er|ing)|delta)\b")
ATTENTION_NAME = re.compile(r"\b(att|attn|attention|retention)\b")

EXPONENTIALS = frozenset({"exp", "exp2", "softplus", "logsigmoid", *SCANS})
"""How the decay of a state space or a recurrence is made."""


def role_of(
    shortcut: Shortcut, own: str, classes: Iterable[str], *, origin: Value | None = None
) -> Role:
    """What the branch of a shortcut is.

    A branch that holds whole sub-layers is neither.

    Args:
        own: name of the branch's own module; empty where it has none.
        classes: of that module; of all the modules in the branch where it has none.
        origin: x_0 of the stack; the shortcut's own x without it.
    """
    region = shortcut.region
    if shortcut.around:
        return Role.OTHER
    keys = list(attended(region))
    if keys:
        starts = [shortcut.x] if origin is None else [shortcut.x, origin]
        crossing = all(not any(_descends(key, x) for x in starts) for key in keys)
        return Role.CROSS_ATTENTION if crossing else Role.SELF_ATTENTION
    operations = {value.operation for value in region}
    if operations & FOURIER or operations & RECURRENT:
        return Role.MIXER
    if FEED_FORWARD.search(spelled(own)):
        return Role.FEED_FORWARD
    if any(value.operation in EXPONENTIALS and value.floating for value in region):
        return Role.MIXER
    words = ", ".join(spelled(name) for name in (own, *classes))
    for role, known in (
        (Role.MIXER, MIXER),
        (Role.SELF_ATTENTION, ATTENTION_NAME),
        (Role.FEED_FORWARD, FEED_FORWARD),
    ):
        if known.search(words):
            return role
    if _convolves(region):
        return Role.CONVOLUTION
    if operations & POOLING or _scans(region) or any(_is_dynamic(value) for value in region):
        return Role.MIXER
    if operations & LEARNED:
        return Role.FEED_FORWARD
    return Role.OTHER


def spelled(name: str) -> str:
    """A name in snake or camel case as lower-case words."""
    parts = re.findall(r"[A-Z]+\d*(?![a-z])|[A-Z]?[a-z]+\d*", name)
    return " ".join(parts).lower()


def attended(region: Iterable[Value]) -> Iterable[Value]:
    """The keys of every attention in a branch."""
    for value in region:
        if value.operation in ATTENTION:
            if len(value.inputs) >= 2:
                yield value.inputs[1]
        elif value.operation == SAMPLING:
            yield value.inputs[0]
        elif value.operation == "softmax" and _is_read_by_product(value):
            scores = _product_before(value)
            if scores is not None:
                yield scores.inputs[1]


def _descends(value: Value, x: Value) -> bool:
    return value is x or bool(between(x, value))


def _scans(region: Iterable[Value]) -> bool:
    """Whether numbers are summed up along an axis: counts of tokens, as of an expert, are none."""
    return any(value.operation in SCANS and value.floating for value in region)


def _is_dynamic(value: Value) -> bool:
    """A product of two tensors that both depend on the input."""
    varying = [v for v in value.inputs if not v.constant]
    return value.operation in PRODUCTS and len(varying) >= 2


def masks_of(attention: Value) -> Iterable[Value]:
    """What no input reaches, added to the scores of an attention or given to it."""
    if attention.operation in ATTENTION:
        yield from (v for v in attention.inputs[3:] if v.constant)
        return
    front, steps = list(attention.inputs), 0
    while front and steps < 64:
        value, steps = front.pop(0), steps + 1
        if value.constant:
            yield value
        elif not _is_dynamic(value):
            front += value.inputs


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

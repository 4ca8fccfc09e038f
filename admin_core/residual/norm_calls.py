"""Norms among the operations of a pass.

A norm is a call of one, or the pattern that all of them share when written out: a tensor times or
over a reduction of itself.
"""

from admin_core.residual.operations import MIXING, NORMS, STATISTICS
from admin_core.residual.provenance import plain
from admin_core.residual.trace import Value

FARTHEST = 16
"""Operations that a norm written out takes from its input to its output, at most."""


def normed(value: Value) -> Value | None:
    """x where `value` is a norm of x, before its scale and shift; None where it is no norm."""
    if value.operation in NORMS:
        return plain(value.inputs[0])
    if value.operation == "opaque" and value.call is not None:
        named = "norm" in type(value.call.module).__name__.lower()
        return plain(value.inputs[0]) if named and value.inputs else None
    if value.operation not in ("mul", "div") or len(value.inputs) != 2:
        return None
    for tensor, statistic in (value.inputs, value.inputs[::-1]):
        if _reduced(tensor.shape, statistic.shape) and not statistic.constant:
            x = _uncentred(tensor)
            if _is_statistic_of(x, statistic):
                return x
    return None


def _reduced(shape: tuple[int, ...], reduced: tuple[int, ...]) -> bool:
    """Whether one axis, and no other, has shrunk to 1."""
    if len(shape) != len(reduced):
        return False
    changed = [(a, b) for a, b in zip(shape, reduced, strict=True) if a != b]
    return len(changed) == 1 and changed[0][1] == 1


def _uncentred(value: Value) -> Value:
    value = plain(value)
    if value.operation in ("sub", "add") and value.inputs and value.shape == value.inputs[0].shape:
        others = value.inputs[1:]
        if all(_reduced(value.shape, other.shape) for other in others) and others:
            return plain(value.inputs[0])
    return value


def _is_statistic_of(x: Value, statistic: Value) -> bool:
    seen, front, reduced = set[Value](), [statistic], False
    reached = False
    while front:
        value = front.pop()
        if value in seen or value.position < x.position:
            continue
        seen.add(value)
        if value is x:
            reached = True
            continue
        if value.operation in MIXING or value.operation in ("exp", "softmax"):
            return False
        reduced |= value.operation in STATISTICS
        if len(seen) > FARTHEST:
            return False
        front += value.inputs
    return reached and reduced

"""What a value descends from.

A value *descends* from x when x was an operand of it or of what it descends from. Taken back
through casts, layouts, dropout and constant factors it is still the same stream, `plain`.
"""

from collections.abc import Iterator

from admin_core.residual.operations import MIXING, TRANSPARENT
from admin_core.residual.trace import Value


def between(x: Value, y: Value) -> list[Value]:
    """Every value on a way from x to y, x left out, in the order of the pass; none if there is no
    way."""
    on_way: dict[Value, bool] = {x: True}

    stack = [y]
    while stack:
        value = stack[-1]
        if value in on_way:
            stack.pop()
            continue
        earlier = [v for v in value.inputs if v.position >= x.position]
        open_ones = [v for v in earlier if v not in on_way]
        if open_ones:
            stack += open_ones
        else:
            on_way[value] = any(on_way[v] for v in earlier)
            stack.pop()
    way = [value for value, yes in on_way.items() if yes and value is not x]
    return sorted(way, key=lambda value: value.position)


def plain(value: Value) -> Value:
    """What a value is, taken back through casts, layouts, dropout and constant factors."""
    return list(taken_back(value))[-1]


def taken_back(value: Value) -> Iterator[Value]:
    """A value, and what it was before each cast, layout, dropout and constant factor, one by
    one."""
    before: Value | None = value
    while before is not None:
        yield before
        before = unscaled(before) or relabelled(before)


def relabelled(value: Value) -> Value | None:
    """x of a cast, another layout, dropout or a sum of x and nothing."""
    if value.operation in TRANSPARENT and value.inputs:
        return value.inputs[0]
    if value.operation == "add" and len(value.inputs) == 1 and 0 in value.arguments:
        return value.inputs[0]  # where sum([x, f]) begins
    return None


def unscaled(value: Value) -> Value | None:
    """x of a product or quotient of x and what no input reaches."""
    if value.operation not in ("mul", "div") or value.constant:
        return None
    varying = [v for v in value.inputs if not v.constant]
    if len(varying) != 1 or varying[0] is not value.inputs[0] and value.operation == "div":
        return None
    return varying[0] if varying[0].shape == value.shape else None


def mixes(way: list[Value]) -> bool:
    """Whether something new is made of several features or tokens on the way."""
    return any(value.operation in MIXING for value in way)


def made_from(value: Value) -> set[Value]:
    """A value that no input reaches, and all that it was made from; none for others."""
    if not value.constant:
        return set()
    found, front = set[Value](), [value]
    while front:
        one = front.pop()
        if one not in found:
            found.add(one)
            front += one.inputs
    return found


def parameters_of(value: Value) -> Iterator[str]:
    """The names of the parameters in a value that no input of the model reaches."""
    if value.operation == "parameter" and value.name is not None:
        yield value.name
    for before in value.inputs:
        yield from parameters_of(before)

"""Which additions of a forward pass carry a shortcut past a branch.

    sum = shortcut + branch,   branch = f(x),   shortcut = x, or a multiple or a projection of it

Four rules, which know operations and provenance but no architecture:

1. One operand, taken back through casts, layouts, dropout and constant factors, is an ancestor x of
   the other one, and what lies between mixes features or tokens: a linear map, a convolution,
   attention, pooling. The tanh of a GELU adds x to x^3, and a rotation adds x to x with its halves
   swapped: between those nothing mixes.
2. Both operands descend from x, one of them through a single linear map or pooling that changes the
   shape, without a nonlinearity, and the other through a nonlinear map, all of it in the module of
   the addition: a projected shortcut. Without these conditions, any sum of two heads would be one.
3. A sum of a shortcut and a branch, to which another branch is added that reads the same x: two
   branches beside one shortcut.
4. What is no branch of its own: a positional encoding made from x; what is added to the scores of
   every layer, which earlier layers carry to the later ones; an encoding that is added to a state
   which others read without it; a skip inside a mixer, x * D with a weight per feature, that stands
   inside another branch.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from admin_core.residual.norm_calls import normed
from admin_core.residual.operations import (
    ATTENTION,
    CONVOLUTIONS,
    MIXING,
    NONLINEAR,
    POOLING,
    REDUCTIONS,
)
from admin_core.residual.provenance import (
    between,
    mixes,
    parameters_of,
    plain,
    relabelled,
    taken_back,
    unscaled,
)
from admin_core.residual.trace import Trace, Value

POSITIONAL = re.compile(r"Position(?!wise|Wise)")
"""In the class names of modules that encode positions; a position-wise network does not."""

LONGEST_RUN = 8
"""Branches beside one shortcut, at most."""


@dataclass(eq=False)
class Shortcut:
    """One addition of a branch to a shortcut."""

    sum: Value
    x: Value
    """What the branch reads, and the shortcut carries."""

    shortcut_position: int
    """0 or 1: which operand of the addition the shortcut is."""

    summed: Value | None = None
    """The sum of branches among which this one is, where they are added up before the shortcut."""

    branch_position: int | None = None
    """Which operand of `summed` the branch is."""

    beside: bool = False
    """Whether another branch reads the same x."""

    around: bool = False
    """Whether whole sub-layers stand inside the branch."""

    @property
    def shortcut(self) -> Value:
        """The operand that carries x."""
        return self.sum.inputs[self.shortcut_position]

    @property
    def branch(self) -> Value:
        """The branch's output, as it is added."""
        if self.summed is None or self.branch_position is None:
            return self.sum.inputs[1 - self.shortcut_position]
        return self.summed.inputs[self.branch_position]

    @cached_property
    def region(self) -> list[Value]:
        """Every value on a way from x to the branch's output, x left out, in order."""
        return between(self.x, self.branch)

    @cached_property
    def within(self) -> set[Value]:
        """The same values, to look one up."""
        return set(self.region)

    @cached_property
    def mixing(self) -> list[Value]:
        """Those that mix features or tokens."""
        return [value for value in self.region if value.operation in MIXING]


def find_shortcuts(trace: Trace) -> list[Shortcut]:
    """Every shortcut addition of a pass, in its order."""
    found: dict[Value, Shortcut] = {}
    for value in trace.values:
        if not _may_be_shortcut(value):
            continue
        shortcut = _carried(value) or _beside(value, found) or _projected(value)
        if shortcut is not None and _goes_around(shortcut, found) and not _is_positional(shortcut):
            found[value] = shortcut
    shortcuts = list(found.values())
    kept = [s for s in shortcuts if not _is_inside_a_mixer(s, shortcuts)]
    sums = {shortcut.sum for shortcut in kept}
    for shortcut in kept:
        shortcut.around = not sums.isdisjoint(shortcut.region)
    return kept


def _may_be_shortcut(value: Value) -> bool:
    return (
        value.operation == "add"
        and value.floating
        and len(value.inputs) == 2
        and len(value.shape) >= 2
        and value.inputs[0].shape == value.inputs[1].shape == value.shape
    )


def _carried(value: Value) -> Shortcut | None:
    """Rule 1."""
    for position in (0, 1):
        branch = value.inputs[1 - position]
        if not _is_read_once(branch):
            continue
        for x in taken_back(value.inputs[position]):
            way = between(x, branch)
            if mixes(way) and (not value.constant or _attends(way)):
                return Shortcut(value, x, position)
    return None


def _attends(way: list[Value]) -> bool:
    """Whether there is attention on the way. Queries that are learned attend to each other before
    anything of the input reaches them; other sums of weights are no sub-layers."""
    return any(value.operation in ATTENTION or value.operation == "softmax" for value in way)


def _is_read_once(branch: Value) -> bool:
    """Whether the addition is all that a branch's output is for. A state to which an encoding of
    queries or positions is added is read by others too."""
    return len(set(branch.consumers)) == 1


def _beside(value: Value, found: dict[Value, Shortcut]) -> Shortcut | None:
    """Rule 3."""
    for position in (0, 1):
        run, earlier = 0, found.get(plain(value.inputs[position]))
        while earlier is not None and run < LONGEST_RUN:
            branch = value.inputs[1 - position]
            if _is_read_once(branch) and mixes(between(earlier.x, branch)):
                earlier.beside = True
                return Shortcut(value, earlier.x, position, beside=True)
            run, earlier = run + 1, found.get(plain(earlier.shortcut))
    return None


def _projected(value: Value) -> Shortcut | None:
    """Rule 2."""
    for position in (0, 1):
        shortcut, branch = value.inputs[position], value.inputs[1 - position]
        for x in _before_projection(shortcut):
            if x.shape != value.shape and _is_worked_on_here(between(x, branch), value):
                return Shortcut(value, x, position)
    return None


def _is_worked_on_here(way: list[Value], addition: Value) -> bool:
    """Whether a way is nonlinear and lies in the module of the addition."""
    home = addition.call
    return (
        sum(value.operation in MIXING for value in way) >= 2
        and any(value.operation in NONLINEAR for value in way)
        and home is not None
        and all(value.call is not None and home in value.call.ancestors() for value in way)
    )


def _before_projection(value: Value) -> Iterator[Value]:
    """Every x of P(x), where P is at most one linear map or convolution, with pooling, norms and
    factors around it."""
    maps = pools = 0
    before: Value | None = plain(value)
    while before is not None:
        value = plain(before)
        if maps + pools:
            yield value
        before = normed(value)
        if before is None and value.operation in POOLING | REDUCTIONS and value.inputs:
            before, pools = value.inputs[0], pools + 1
        is_map = value.operation == "linear" or value.operation in CONVOLUTIONS
        if before is None and is_map and not maps:
            before, maps = value.inputs[0], maps + 1


def _goes_around(shortcut: Shortcut, found: dict[Value, Shortcut]) -> bool:
    """Whether every stream inside the branch begins there. What is added to the scores or the
    queries of each layer, as a position bias is, is an ancestor of all later layers too, but their
    streams come from elsewhere."""
    return all(
        inner.x is shortcut.x or inner.x in shortcut.within
        for value in shortcut.region
        if (inner := found.get(value)) is not None
    )


def _is_positional(shortcut: Shortcut) -> bool:
    """Whether the branch encodes positions: every mixing in it happens in a module so named."""
    return all(_in_positional_module(value) for value in shortcut.mixing)


def _in_positional_module(value: Value) -> bool:
    calls = value.call.ancestors() if value.call is not None else ()
    names = (type(call.module).__name__ for call in calls)
    return any(POSITIONAL.search(name) and "Att" not in name for name in names)


def _is_inside_a_mixer(shortcut: Shortcut, others: list[Shortcut]) -> bool:
    """Rule 4: x scaled by a weight per feature, inside the branch of another one."""
    value, weighted = shortcut.shortcut, False
    while value is not shortcut.x:
        factors = [v for v in value.inputs if v.constant]
        weighted |= unscaled(value) is not None and any(any(parameters_of(v)) for v in factors)
        value = unscaled(value) or relabelled(value) or shortcut.x
    return weighted and any(
        other is not shortcut and shortcut.sum in other.within for other in others
    )

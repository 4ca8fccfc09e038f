"""Where the norms of a sub-layer sit, by what the operations do.

POST       x_i = N(x + f(x)): the sum goes on through a norm alone
PRE        x_i = x + f(N(x)): the branch reads x through a norm, or passes one on its way
SANDWICH   x_i = x + N(f(N(x))), or a norm before the branch and one after the sum
OUTPUT     x_i = x + N(f(x))
NONE       x_i = x + f(x)
"""

from collections.abc import Iterable, Sequence

from admin_core.report import NormPlacement
from admin_core.residual.additions import Shortcut
from admin_core.residual.norm_calls import FARTHEST, normed
from admin_core.residual.operations import LEARNED, MIXING, NONLINEAR, POOLING, TRANSPARENT
from admin_core.residual.provenance import between, plain, taken_back
from admin_core.residual.trace import Value

PROJECTING = (MIXING - POOLING) | NONLINEAR
"""What makes another stream of the one that a norm puts out."""


def goes_on_through_norm(x: Value, within: set[Value] | None = None) -> Value | None:
    """The norm that all readers of x read it through; None where one reads x itself.

    Args:
        within: count these readers alone.
    """
    norms: list[Value] = []
    seen: set[Value] = set()
    front = [(reader, 0) for reader in _readers(x, within)]
    while front:
        value, steps = front.pop()
        if value in seen:
            continue
        seen.add(value)
        source = normed(value)
        if source is not None and (source is x or source is plain(x)):
            norms.append(value)
        elif steps >= FARTHEST or value.operation in MIXING:
            return None
        else:
            onward = _readers(value, within)
            if not onward and (within is None or value.operation not in TRANSPARENT):
                return None
            front += [(reader, steps + 1) for reader in onward]
    return norms[0] if norms else None


def ends_in_norm(total: Value) -> bool:
    """Whether a sum meets a norm before any other map with weights, and before the pass ends."""
    seen: set[Value] = set()
    front, found = [total], False
    while front:
        value = front.pop()
        if value in seen:
            continue
        seen.add(value)
        if value is not total and normed(value) is not None:
            found = True
        elif value.operation in LEARNED:
            return False
        else:
            front += value.consumers
    return found


def _readers(value: Value, within: set[Value] | None) -> Sequence[Value]:
    readers = value.consumers
    return readers if within is None else [reader for reader in readers if reader in within]


def norm_placements(shortcuts: Sequence[Shortcut]) -> list[NormPlacement]:
    """Of the sub-layers of one stack, in order."""
    follows = _followed(shortcuts)
    placements = []
    for shortcut in shortcuts:
        first, final, inside = _norms_of_branch(shortcut)
        if follows[shortcut.sum]:
            placements.append(NormPlacement.SANDWICH if first else NormPlacement.POST)
        elif first and final:
            placements.append(NormPlacement.SANDWICH)
        elif final:
            placements.append(NormPlacement.OUTPUT)
        elif first or inside or normed(unshifted(shortcut.x)) is not None:
            placements.append(NormPlacement.PRE)
        else:
            placements.append(NormPlacement.NONE)
    return placements


def _followed(shortcuts: Sequence[Shortcut]) -> dict[Value, bool]:
    """Whether the stream goes on through a norm after each sum.

    The norm between two stages, which a projection follows, is no part of the sub-layer before. Nor
    is the norm at the end of a stack, unless the sums before are followed by norms too; a lone
    sub-layer with a norm after its sum and none before its branch is Post-LN.
    """
    sums = list(dict.fromkeys(s.sum for s in shortcuts))
    starts = {s.sum: s for s in reversed(shortcuts)}
    found: dict[Value, bool] = {}
    for i, total in enumerate(sums):
        norm = goes_on_through_norm(total)
        if norm is None:
            found[total] = False
        elif i + 1 < len(sums):
            x, carried = starts[sums[i + 1]].x, taken_back(starts[sums[i + 1]].shortcut)
            way = between(norm, x)
            stays = not any(value.operation in PROJECTING for value in way)
            beside = starts[sums[i + 1]].beside
            found[total] = (x in carried or beside) and (x is norm or (bool(way) and stays))
        elif i:
            found[total] = found[sums[i - 1]]
        else:
            found[total] = not any(_norms_of_branch(s)[0] for s in shortcuts)
    return found


def branch_ends_in_norm(shortcut: Shortcut) -> bool:
    """Whether a norm is the branch's last step, so that one behind the sum is not the sub-layer's:
    behind a stack's last sum stands the stack's own."""
    return _norms_of_branch(shortcut)[1]


def _norms_of_branch(shortcut: Shortcut) -> tuple[bool, bool, bool]:
    """Whether the branch begins with a norm, ends with one, and has one that nothing gets past."""
    region = shortcut.region
    first = goes_on_through_norm(shortcut.x, shortcut.within) is not None
    final = normed(unshifted(shortcut.branch)) is not None
    norms = {value for value in region if normed(value) is not None}
    return first, final, not _reaches(shortcut.x, shortcut.branch, shortcut.within - norms)


def unshifted(value: Value) -> Value:
    """A value taken back through a norm's scale and shift."""
    value = plain(value)
    while value.operation == "add" and len(value.inputs) == 2 and value.inputs[1].constant:
        value = plain(value.inputs[0])
    return value


def _reaches(x: Value, y: Value, through: Iterable[Value]) -> bool:
    allowed = set(through)
    front, seen = [y], set[Value]()
    while front:
        value = front.pop()
        if value is x:
            return True
        if value in allowed and value not in seen:
            seen.add(value)
            front += value.inputs
    return False

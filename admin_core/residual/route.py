"""How an omega reaches an addition that stands in somebody else's code.

    omega * x + f = (x + f) + (omega - 1) * x

The sum x + f is what the norm module is given; x is kept on its way past a module, nearest to the
addition, that takes or returns it. Both are reached by hooks, so that no source is edited.
"""

from dataclasses import dataclass

from admin_core.residual.additions import Shortcut
from admin_core.residual.trace import Call, Trace, Value

RESHAPED = frozenset({"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze"})
"""Operations that leave the order of the numbers as it is."""

Place = int | str
"""A positional or a named argument."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where x can be kept."""

    path: str
    place: Place | None
    """Which argument of the module it is; None for what the module returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where an omega is put in."""

    source: Source
    norm_place: Place
    """Which argument of the norm is the sum."""

    width: int
    """Features of the sum, one omega each."""


def route_of(shortcut: Shortcut, norm: Call | None, trace: Trace) -> Route | None:
    """The way for an omega; None where there is none."""
    total, x = shortcut.sum, shortcut.shortcut
    if norm is None or shortcut.beside:
        return None
    place = _place_of_sum(norm, total)
    source = _source(total.call, x, total, trace)
    if place is None or source is None:
        return None
    return Route(source=source, norm_place=place, width=total.shape[-1])


def _place(call: Call, value: Value) -> Place | None:
    return next((place for place, given in call.given.items() if given is value), None)


def _place_of_sum(norm: Call, total: Value) -> Place | None:
    """Which argument of the norm is the sum, or the sum with its tokens laid out otherwise."""
    for place, given in norm.given.items():
        while given is not total and given.operation in RESHAPED and given.inputs:
            given = given.inputs[0]
        if given is total and norm.given[place].shape[-1] == total.shape[-1]:
            return place
    return None


def _source(frame: Call | None, x: Value, total: Value, trace: Trace) -> Source | None:
    """The nearest module around the addition, or called by one around it, that x passes: as its
    output, as an argument of the one around, or as an argument of one inside."""
    while frame is not None:
        inside = [
            call
            for call in trace.calls[frame.place :]
            if call.start >= frame.start and call.end <= total.position
            if frame in call.ancestors() and call is not frame
        ]
        paths = [call.path for call in inside]
        for call in inside:
            made = call.outputs[:1] == [x] and x.position >= call.start
            if made and call.returns_tensor and paths.count(call.path) == 1:
                return Source(path=call.path, place=None)
        place = _place(frame, x)
        if place is not None:
            return Source(path=frame.path, place=place)
        for call in inside:
            place = _place(call, x)
            if place is not None and paths.count(call.path) == 1:
                return Source(path=call.path, place=place)
        frame = frame.parent
    return None

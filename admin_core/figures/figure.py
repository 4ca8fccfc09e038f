"""What a figure is, and what all figures have in common.

Colours are Okabe and Ito's, which people with any colour vision tell apart, each darkened or
lightened until it stands out from white and from black alike; series differ in their dashes too.
No torch is loaded here, nor what draws.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import cycle
from typing import Any

from admin_core.report import StackName
from admin_core.spec import Stack

Chart = dict[str, Any]
"""A Vega-Lite spec, or a part of one."""

Rows = list[dict[str, Any]]
"""Data of a chart, one object a point."""

ORANGE = "#BF8300"
GREEN = "#009E73"
BLUE = "#1F7FBD"
VERMILLION = "#D55E00"
PURPLE = "#C0659A"
GREY = "#808080"

SERIES_COLOURS = (GREEN, VERMILLION, BLUE, PURPLE, ORANGE, GREY)
SERIES_DASHES = ([1, 0], [6, 3], [2, 2])
"""Of the first six series, the next six, and so on."""

STACK_COLOURS: dict[str, str] = {Stack.ENCODER: BLUE, Stack.DECODER: VERMILLION}
"""The same in every figure."""

OTHER_STACK_COLOURS = (GREEN, PURPLE, ORANGE)
"""Of the stacks of a network that has several of a kind, in turn."""

MOST_POINTS = 300
"""Of a line."""


class FigureFormat(StrEnum):
    """What a figure can be had as."""

    SVG = "svg"
    PNG = "png"
    JSON = "json"
    """Its Vega-Lite spec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One picture of a report."""

    name: str
    """As in an address."""
    title: str
    caption: str
    """One sentence or two: what is shown, and what to look for."""
    chart: Chart
    """Data included; without the colours of a theme."""


def rounded(value: float) -> float:
    """Four digits: more than anybody can see, and a fifth of the bytes."""
    return float(f"{value:.4g}")


def axis(field: str, title: str, **more: Any) -> Chart:
    """A channel of numbers; `title` has the unit."""
    return {"field": field, "type": "quantitative", "title": title, **more}


def logarithmic(values: Iterable[float | None]) -> Chart:
    """The scale of a channel: logarithmic where all values allow it, with margins."""
    known = [value for value in values if value is not None]
    if known and min(known) > 0:
        domain = [rounded(min(known) / 1.5), rounded(max(known) * 1.5)]
        scale = {"type": "log", "domain": domain, "nice": False}
        return {"scale": scale, "axis": {"format": "~g", "tickCount": 6}}
    return {"scale": {"zero": True}, "axis": {"format": "~g"}}


def depth_axis(depths: Iterable[int], **more: Any) -> Chart:
    """The horizontal channel of what is measured sub-layer by sub-layer."""
    deepest = max(depths, default=1)
    return axis(
        "i",
        "depth i (sub-layers)",
        scale={"domain": [1, max(2, deepest)], "nice": False},
        axis={"tickMinStep": 1, "format": "d"},
        **more,
    )


def series(names: Sequence[str], title: str | None = None, field: str = "series") -> Chart:
    """The channels that tell series apart: colour, and dashes beyond the sixth."""
    colours = [SERIES_COLOURS[n % len(SERIES_COLOURS)] for n in range(len(names))]
    dashes = [
        SERIES_DASHES[n // len(SERIES_COLOURS) % len(SERIES_DASHES)] for n in range(len(names))
    ]
    channels = {"color": coloured(dict(zip(names, colours, strict=True)), title, field)}
    if len(names) > len(SERIES_COLOURS):
        scale = {"domain": list(names), "range": dashes}
        channels["strokeDash"] = {"field": field, "type": "nominal", "title": title, "scale": scale}
    return channels


def coloured(colours: dict[str, str], title: str | None = None, field: str = "series") -> Chart:
    """The colour channel of a field with these values, in this order."""
    return {
        "field": field,
        "type": "nominal",
        "title": title,
        "sort": list(colours),
        "scale": {"domain": list(colours), "range": list(colours.values())},
    }


def stacks_of(found: Iterable[StackName]) -> dict[str, str]:
    """Colours by name of the stacks that there are."""
    present = dict.fromkeys(map(str, found))
    colours = {str(stack): colour for stack, colour in STACK_COLOURS.items() if stack in present}
    others = [name for name in present if name not in colours]
    return colours | dict(zip(others, cycle(OTHER_STACK_COLOURS), strict=False))


def thinned(values: Sequence[float], most: int = MOST_POINTS) -> list[int]:
    """Places of at most `most` of the values: of each stretch its lowest and its highest, so that
    no spike is lost; first and last are kept."""
    if len(values) <= most:
        return list(range(len(values)))
    stretches = (most - 2) // 2
    kept = {0, len(values) - 1}
    for stretch in range(stretches):
        places = range(stretch * len(values) // stretches, (stretch + 1) * len(values) // stretches)
        kept |= {min(places, key=values.__getitem__), max(places, key=values.__getitem__)}
    return sorted(kept)


def evenly(count: int, most: int) -> list[int]:
    """At most `most` of the places 0 to count - 1, evenly spaced; first and last are kept."""
    if count <= most:
        return list(range(count))
    return [round(n * (count - 1) / (most - 1)) for n in range(most)]

"""What a figure stands on: the colours of letters, axes and background.

The Vega-Lite spec of a figure is made here, and may be drawn by any tool that reads one.
"""

import re
from enum import StrEnum
from typing import Any

from admin_core.figures.figure import Chart, Figure


class Theme(StrEnum):
    """What a figure stands on."""

    LIGHT = "light"
    DARK = "dark"
    PAGE = "page"
    """Whatever is behind it, in the colour of the text around it; for SVG within a page."""


class Layout(StrEnum):
    """How much room a figure has."""

    WIDE = "wide"
    NARROW = "narrow"
    """A telephone's: panels below each other, legends at the bottom."""


INK = {Theme.LIGHT: "#22262B", Theme.DARK: "#E4E7EB", Theme.PAGE: "#010203"}
"""Of letters and axes. A page's stands for its `currentColor`, which Vega does not know."""

BACKGROUND = {Theme.LIGHT: "#FFFFFF", Theme.DARK: "#14171A", Theme.PAGE: None}

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


NARROW_WIDTH = 260
"""Of the widest panel of a narrow figure, without its axis."""


def vega_lite(figure: Figure, theme: Theme = Theme.LIGHT, layout: Layout = Layout.WIDE) -> Chart:
    """A whole Vega-Lite spec, to be drawn by any tool that reads one."""
    ink = INK[theme]
    chart = _narrow(figure.chart) if layout is Layout.NARROW else figure.chart
    narrow = layout is Layout.NARROW
    at_the_bottom = {"orient": "bottom", "columns": 2, "labelLimit": 130} if narrow else {}
    short_names = {"labelLimit": 90} if narrow else {}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "description": drawable(figure.caption),
        **drawable(chart),
        "config": {
            "background": BACKGROUND[theme],
            "font": "DejaVu Sans, Verdana, sans-serif",
            # Labels of every mark for screen readers would triple the file; the caption is there.
            "aria": False,
            "title": {"color": ink, "fontWeight": "normal", "anchor": "start", "fontSize": 12},
            "view": {"stroke": "#80808066"},
            "axis": {
                "gridColor": "#80808033",
                "domainColor": "#80808099",
                "tickColor": "#80808099",
                "labelColor": ink,
                "titleColor": ink,
                "titleFontWeight": "normal",
                **short_names,
            },
            "legend": {
                "labelColor": ink,
                "titleColor": ink,
                "titleFontWeight": "normal",
                "symbolStrokeWidth": 3,
                "symbolOpacity": 1,
                "labelLimit": 260,
                **at_the_bottom,
            },
            "line": {"strokeWidth": 1.6},
        },
    }


def _narrow(chart: Chart) -> Chart:
    """The same chart with its panels below each other, and none too wide."""
    if "hconcat" in chart:
        others = {name: value for name, value in chart.items() if name != "hconcat"}
        return {**others, "vconcat": [_narrow(panel) for panel in chart["hconcat"]]}
    width = chart.get("width")
    narrowed = dict(chart)
    if isinstance(width, int):
        narrowed["width"] = min(width, NARROW_WIDTH)
    found: Chart = _with_short_names(narrowed)
    return found


def _with_short_names(part: Any) -> Any:
    """Without the room for long names that an axis may ask for, as the theme has less."""
    match part:
        case dict():
            return {
                key: _with_short_names(each) for key, each in part.items() if key != "labelLimit"
            }
        case list():
            return [_with_short_names(each) for each in part]
    return part


def drawable(value: Any) -> Any:
    """The same without characters that no XML may hold: one of them in a name would end the
    process that draws it."""
    match value:
        case str():
            return _NOT_XML.sub("\ufffd", value)
        case dict():
            return {key: drawable(each) for key, each in value.items()}
        case list():
            return [drawable(each) for each in value]
    return value

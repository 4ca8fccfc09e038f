"""Figures as files: SVG, PNG, and the Vega-Lite spec itself as JSON.

What draws is a Rust library with a JavaScript engine of its own: half a second for the first
figure of a process and some hundredths for each further one, in 120 MB. So no server's process
should import this module.
"""

import json
import re
from enum import StrEnum
from typing import Any
from xml.sax.saxutils import escape

import vl_convert

from admin_core.figures.figure import Chart, Figure


class FigureFormat(StrEnum):
    SVG = "svg"
    PNG = "png"
    JSON = "json"


class Theme(StrEnum):
    """What a figure stands on."""

    LIGHT = "light"
    DARK = "dark"
    PAGE = "page"
    """Whatever is behind it, in the colour of the text around it; for SVG within a page."""


INK = {Theme.LIGHT: "#22262B", Theme.DARK: "#E4E7EB", Theme.PAGE: "#010203"}
"""Of letters and axes. A page's stands for its `currentColor`, which Vega does not know."""

BACKGROUND = {Theme.LIGHT: "#FFFFFF", Theme.DARK: "#14171A", Theme.PAGE: None}

PNG_SCALE = 2.0

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(figure: Figure, file_format: FigureFormat, theme: Theme = Theme.LIGHT) -> bytes:
    """The figure as a file."""
    match file_format:
        case FigureFormat.SVG:
            return svg(figure, theme).encode()
        case FigureFormat.PNG:
            # A picture has no page whose colours it could take.
            opaque = Theme.LIGHT if theme is Theme.PAGE else theme
            drawn: bytes = vl_convert.vegalite_to_png(
                vega_lite(figure, opaque), scale=PNG_SCALE, allowed_base_urls=[]
            )
            return drawn
        case FigureFormat.JSON:
            return json.dumps(vega_lite(figure, theme), allow_nan=False).encode()


def svg(figure: Figure, theme: Theme = Theme.LIGHT) -> str:
    """The figure as an SVG whose text stays text, with title and caption for who cannot see it."""
    drawn: str = vl_convert.vegalite_to_svg(vega_lite(figure, theme), allowed_base_urls=[])
    if theme is Theme.PAGE:
        drawn = drawn.replace(INK[theme].lower(), "currentColor").replace(
            INK[theme], "currentColor"
        )
    # Several figures may stand in one page, where an id stands for one thing; and Vega counts on
    # from one figure to the next, which would make each drawing another file.
    for number, known in enumerate(re.findall(r'\bid="((?:gradient_|clip)\d+)"', drawn)):
        unique = f"{figure.name}_{number}"
        drawn = drawn.replace(f'id="{known}"', f'id="{unique}"')
        drawn = drawn.replace(f"url(#{known})", f"url(#{unique})")
    words = f"<title>{escape(_drawable(figure.title))}</title>"
    words += f"<desc>{escape(_drawable(figure.caption))}</desc>"
    start = drawn.index("<svg")
    end = drawn.index(">", start) + 1
    return f'{drawn[start : end - 1]} role="img">{words}{drawn[end:]}'


def vega_lite(figure: Figure, theme: Theme = Theme.LIGHT) -> Chart:
    """A whole Vega-Lite spec, to be drawn by any tool that reads one."""
    ink = INK[theme]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "description": _drawable(figure.caption),
        **_drawable(figure.chart),
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
            },
            "legend": {
                "labelColor": ink,
                "titleColor": ink,
                "titleFontWeight": "normal",
                "symbolStrokeWidth": 3,
                "symbolOpacity": 1,
                "labelLimit": 260,
            },
            "line": {"strokeWidth": 1.6},
        },
    }


def _drawable(value: Any) -> Any:
    """The same without characters that no XML may hold: one of them in a name would end the
    process that draws it."""
    match value:
        case str():
            return _NOT_XML.sub("\ufffd", value)
        case dict():
            return {key: _drawable(each) for key, each in value.items()}
        case list():
            return [_drawable(each) for each in value]
    return value

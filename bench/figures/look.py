"""What all figures have in common, and how a Vega-Lite spec becomes an SVG.

Colours are Okabe and Ito's, which people with any colour vision tell apart.
"""

from typing import Any

import vl_convert

Chart = dict[str, Any]
"""A Vega-Lite spec, or a part of one."""

Rows = list[dict[str, Any]]
"""Data of a chart, one object a point."""

BLACK = "#000000"
ORANGE = "#E69F00"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"

SCHEME_COLOURS = {"Post-LN": VERMILLION, "Pre-LN": BLUE, "Admin": GREEN}
"""The same in every figure."""

SCHEME_NAMES = {"post_ln": "Post-LN", "pre_ln": "Pre-LN", "admin": "Admin"}

CONFIG: Chart = {
    "background": "white",
    "font": "DejaVu Sans, Verdana, sans-serif",
    # Labels for screen readers would triple the file; each figure has a sentence beside it.
    "aria": False,
    "view": {"stroke": "#999999"},
    "axis": {"grid": True, "gridColor": "#eeeeee", "titleFontWeight": "normal"},
    "header": {"titleFontWeight": "normal", "labelFontWeight": "bold"},
    "legend": {"titleFontWeight": "normal", "symbolStrokeWidth": 3, "symbolOpacity": 1},
    "line": {"strokeWidth": 1.6},
}


def colour(names: dict[str, str], title: str | None = None) -> Chart:
    """A colour channel on the field `series`, with its names in this order."""
    return {
        "field": "series",
        "type": "nominal",
        "title": title,
        "sort": list(names),
        "scale": {"domain": list(names), "range": list(names.values())},
    }


def rounded(value: float) -> float:
    """Four digits: more than anybody can see, and a fifth of the bytes."""
    return float(f"{value:.4g}")


def svg(chart: Chart) -> str:
    """The chart as an SVG whose text stays text."""
    drawn: str = vl_convert.vegalite_to_svg(chart | {"config": CONFIG})
    return drawn

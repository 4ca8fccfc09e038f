"""The reliability diagram: of the runs with about this probability, how many failed."""

import math
from collections.abc import Sequence

from bench.figures.look import BLUE, Chart, Rows, rounded

Z = 1.96
"""Standard deviations that hold 95 %."""


def chart(bins: Sequence[tuple[int, float, float]]) -> Chart:
    """A point a bin with the interval of its share, on the line where a right forecast lies.

    Args:
        bins: how many runs, their mean probability, and the share of them that failed.
    """
    points: Rows = []
    for runs, probability, share in bins:
        low, high = interval(share, runs)
        values = {"probability": probability, "share": share, "low": low, "high": high}
        points.append({name: rounded(value) for name, value in values.items()} | {"runs": runs})
    x = _share("probability", "mean probability of failure")
    return {
        "width": 320,
        "height": 320,
        "data": {"values": points},
        "layer": [
            {
                "data": {"values": [{"probability": end, "share": end} for end in (0, 1)]},
                "mark": {"type": "line", "strokeDash": [4, 4], "color": "#666666"},
                "encoding": {"x": x, "y": _share("share", "share that failed")},
            },
            {
                "mark": {"type": "rule", "color": BLUE},
                "encoding": {
                    "x": x,
                    "y": _share("low", "share that failed"),
                    "y2": {"field": "high"},
                },
            },
            {
                "mark": {"type": "circle", "color": BLUE, "opacity": 1},
                "encoding": {
                    "x": x,
                    "y": _share("share", "share that failed"),
                    "size": {"field": "runs", "type": "quantitative", "title": "runs"},
                },
            },
        ],
    }


def interval(share: float, runs: int) -> tuple[float, float]:
    """Where the true share lies in 19 of 20 draws (Wilson 1927):

    (share + z^2 / 2n -+ z sqrt(share (1 - share) / n + z^2 / 4n^2)) / (1 + z^2 / n)
    """
    squared = Z**2 / runs
    middle = share + squared / 2
    half = Z * math.sqrt(share * (1 - share) / runs + squared / (4 * runs))
    return max(0.0, (middle - half) / (1 + squared)), min(1.0, (middle + half) / (1 + squared))


def _share(field: str, title: str) -> Chart:
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"domain": [0, 1], "nice": False},
    }

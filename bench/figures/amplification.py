"""Output change against depth, and what the theory makes of the measured dependency."""

from statistics import mean

from admin_core.analysis.growth import growth
from bench.amplification_slopes import SCHEMES, SEEDS, output_change
from bench.figures.look import SCHEME_COLOURS, SCHEME_NAMES, Chart, Rows, colour, rounded

WIDTH = 128
DEPTHS = range(1, 201)


def measure() -> Rows:
    """D_i of 200 sub-layers of text: mean, smallest and largest of five seeds, and theory."""
    rows: Rows = []
    for scheme in SCHEMES:
        found = [output_change("text", WIDTH, scheme, seed) for seed in SEEDS]
        curves = list(zip(*(of_seed.output_change for of_seed in found), strict=True))
        theory = list(zip(*(of_seed.predicted or [] for of_seed in found), strict=True))
        fitted = growth(DEPTHS, [mean(changes) for changes in curves])
        assert fitted is not None, "200 depths have a slope"
        print(f"{scheme}: slope of the mean {fitted.slope:.2f}")
        rows += [
            {
                "series": SCHEME_NAMES[scheme],
                "i": i,
                "mean": rounded(mean(changes)),
                "low": rounded(min(changes)),
                "high": rounded(max(changes)),
                "theory": rounded(mean(expected)),
            }
            for i, changes, expected in zip(DEPTHS, curves, theory, strict=True)
        ]
    return rows


def chart(rows: Rows) -> Chart:
    """Log-log: a power law is straight, and its exponent the slope."""
    x = {
        "field": "i",
        "type": "quantitative",
        "title": "depth i (sub-layers)",
        "scale": {"type": "log", "domain": [1, DEPTHS[-1]]},
    }
    y = {
        "type": "quantitative",
        "title": "output change D_i (squared, per token)",
        "scale": {"type": "log", "domain": [3e-5, 0.1]},
        "axis": {"format": ".0e", "tickCount": 5},
    }
    return {
        "width": 460,
        "height": 320,
        "data": {"values": rows},
        "encoding": {"x": x, "color": colour(SCHEME_COLOURS)},
        "layer": [
            {
                "mark": {"type": "area", "opacity": 0.2},
                "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {"mark": "line", "encoding": {"y": {**y, "field": "mean"}}},
            {
                "mark": {"type": "line", "strokeDash": [5, 4], "strokeWidth": 1.2},
                "encoding": {"y": {**y, "field": "theory"}},
            },
        ],
    }

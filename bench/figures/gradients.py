"""The paper's Table 1 as a picture, and how uneven gradients and updates are."""

from math import exp, log
from statistics import mean

from admin_core.report import GradientsSection
from admin_core.spec import Stack
from bench.figures.look import BLUE, GREEN, ORANGE, VERMILLION, Chart, Rows, colour, rounded
from bench.gradients import PAIRS, SEEDS, section

LAYERS, D_MODEL = 18, 64
COLOURS = {
    "Post-LN, Post-LN": VERMILLION,
    "Post-LN, Pre-LN": ORANGE,
    "Pre-LN, Pre-LN": BLUE,
    "Admin, Admin": GREEN,
}
"""By encoder and decoder."""

QUANTITIES = {"gradient": "gradient norm", "update": "update norm, Adam"}


def measure() -> dict[str, list[GradientsSection]]:
    """The gradients of each pair of schemes, one section a seed."""
    return {
        name: [
            section(layers=LAYERS, d_model=D_MODEL, encoder=encoder, decoder=decoder, seed=seed)
            for seed in SEEDS
        ]
        for name, (encoder, decoder) in zip(COLOURS, PAIRS, strict=True)
    }


def norms_chart(found: dict[str, list[GradientsSection]]) -> Chart:
    """|dL/dx_i| by depth: geometric mean over seeds, over that of the stack's last state."""
    return {
        "hconcat": [
            {
                "title": stack.value,
                "width": 280,
                "height": 240,
                "data": {"values": _norms(found, stack)},
                "mark": "line",
                "encoding": {
                    "x": {"field": "i", "type": "quantitative", "title": "depth i (sub-layers)"},
                    "y": {
                        "field": "norm",
                        "type": "quantitative",
                        "title": "|dL/dx_i| / |dL/dx_N|",
                        "scale": {"type": "log", "domain": [0.02, 10]},
                        "axis": {"format": "~g", "values": [0.03, 0.1, 0.3, 1, 3, 10]},
                    },
                    "color": colour(COLOURS, "encoder, decoder"),
                },
            }
            for stack in Stack
        ]
    }


def _norms(found: dict[str, list[GradientsSection]], stack: Stack) -> Rows:
    rows: Rows = []
    for name, sections in found.items():
        logs = [
            [log(row.gradient_norm or 0.0) for row in of_seed.branches if row.stack is stack]
            for of_seed in sections
        ]
        rows += [
            {
                "series": name,
                "i": i,
                "norm": rounded(exp(mean(at_depth) - mean(of_seed[-1] for of_seed in logs))),
            }
            for i, at_depth in enumerate(zip(*logs, strict=True), start=1)
        ]
    return rows


def histogram_chart(found: dict[str, list[GradientsSection]]) -> Chart:
    """Weight matrices of the decoder by relative norm: Post-LN throughout against Admin."""
    bins = {
        (name, quantity): _bins(found[name], quantity)
        for name in ("Post-LN, Post-LN", "Admin, Admin")
        for quantity in QUANTITIES
    }
    smallest = min(row["from"] for rows in bins.values() for row in rows)
    x = {
        "field": "from",
        "type": "quantitative",
        "title": "norm, relative to the decoder's largest",
        "scale": {"type": "log", "base": 2, "domain": [smallest, 1]},
        "axis": {
            "labelExpr": "datum.value == 1 ? '1' : '1/' + format(1 / datum.value, 'd')",
            "values": [4.0**-exponent for exponent in range(7)],
        },
    }
    y = {
        "field": "percent",
        "type": "quantitative",
        "title": "weight matrices (%)",
        "scale": {"domain": [0, 100]},
    }
    panels = [
        {
            "title": f"{name}: {QUANTITIES[quantity]}",
            "width": 270,
            "height": 130,
            "data": {"values": rows},
            "mark": {"type": "rect", "color": COLOURS[name], "stroke": "white"},
            "encoding": {"x": x, "x2": {"field": "to"}, "y": y, "y2": {"datum": 0}},
        }
        for (name, quantity), rows in bins.items()
    ]
    return {"columns": len(QUANTITIES), "concat": panels}


def _bins(sections: list[GradientsSection], quantity: str) -> Rows:
    """The report's own bins, a factor of two each, over all seeds; empty ones are left out."""
    of_seeds = [getattr(of_seed.histograms[Stack.DECODER], quantity) for of_seed in sections]
    edges = of_seeds[0].edges
    counts = [sum(column) for column in zip(*(one.counts for one in of_seeds), strict=True)]
    return [
        {"from": low, "to": high, "percent": rounded(100 * count / sum(counts))}
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
        if count
    ]

"""How far the output moves when the parameters move a little, by depth."""

from collections.abc import Callable
from math import log

from admin_core.figures.figure import (
    GREY,
    Chart,
    Figure,
    Rows,
    axis,
    coloured,
    evenly,
    rounded,
    stacks_of,
)
from admin_core.report import OutputChange, Report, StackName

MOST_DEPTHS = 150
LAWS: dict[str, Callable[[float], float]] = {"O(N)": lambda i: i, "O(log N)": lambda i: 1 + log(i)}
MEASURED, THEORY = "measured", "theory, C sum beta_ii^2"


def amplification(report: Report) -> Figure | None:
    """D_i on log axes under a random step and under the optimizer's, with the theory's curves;
    none where it was not measured or nothing moved."""
    if report.amplification is None:
        return None
    kinds = {
        "a random step": report.amplification.random,
        "one optimizer step": report.amplification.update,
    }
    panels = [
        panel for name, changes in kinds.items() if (panel := _panel(name, changes)) is not None
    ]
    if not panels:
        return None
    laws = [
        f"the {stack}'s grows with slope {change.slope:.2f}"
        for stack, change in report.amplification.random.items()
        if change.slope is not None
    ]
    return Figure(
        name="amplification",
        title="Amplification of a small parameter change",
        caption=(
            "How far the state at each depth moves when the parameters move a little; straight "
            "lines are powers of the depth. "
            + (f"Under a random step {' and '.join(laws)}. " if laws else "")
            + "Beside O(N) depth is dangerous, beside O(log N) it is not."
        ),
        chart={"hconcat": panels},
    )


def _panel(name: str, changes: dict[StackName, OutputChange]) -> Chart | None:
    rows: Rows = []
    for stack, change in changes.items():
        rows += _curve(stack, MEASURED, change.depths, change.output_change)
        if change.predicted is not None:
            rows += _curve(stack, THEORY, change.depths, change.predicted)
    if not rows:
        return None
    deepest = max(row["i"] for row in rows)
    x = axis(
        "i",
        "depth i (sub-layers)",
        scale={"type": "log", "domain": [1, max(2, deepest)], "nice": False},
        axis={"format": "d", "tickCount": 5},
    )
    y = axis(
        "change",
        "output change D_i (squared, per token)",
        scale={"type": "log"},
        axis={"format": ".0e", "tickCount": 6},
    )
    guides, ends = _guides(rows, max(2, deepest))
    dashes = {"domain": [MEASURED, THEORY], "range": [[1, 0], [5, 4]]}
    return {
        "title": f"under {name}",
        "width": 300,
        "height": 260,
        "encoding": {"x": x, "y": y},
        "layer": [
            {
                "data": {"values": guides},
                "mark": {"type": "line", "color": GREY, "strokeWidth": 1, "opacity": 0.6},
                "encoding": {"detail": {"field": "law", "type": "nominal"}},
            },
            {
                "data": {"values": ends},
                "mark": {"type": "text", "align": "right", "dy": -5, "dx": -2, "color": GREY},
                "encoding": {"text": {"field": "law", "type": "nominal"}},
            },
            {
                "data": {"values": rows},
                "mark": {"type": "line"},
                "encoding": {
                    "color": coloured(stacks_of(changes), "stack"),
                    "strokeDash": {
                        "field": "kind",
                        "type": "nominal",
                        "title": None,
                        "scale": dashes,
                    },
                },
            },
        ],
    }


def _curve(stack: StackName, kind: str, depths: list[int], changes: list[float]) -> Rows:
    """Without what a logarithm cannot show."""
    return [
        {"i": depths[n], "change": rounded(changes[n]), "series": str(stack), "kind": kind}
        for n in evenly(len(depths), MOST_DEPTHS)
        if changes[n] > 0
    ]


def _guides(rows: Rows, deepest: int) -> tuple[Rows, Rows]:
    """The two laws through the second sub-layer, from which on slopes are fitted, and where their
    names go."""
    measured = [row for row in rows if row["kind"] == MEASURED]
    start = min(measured, key=lambda row: (abs(row["i"] - 2), row["change"]))
    depths = [deepest ** (n / 24) for n in range(25)]
    guides = [
        {
            "i": rounded(i),
            "change": rounded(start["change"] * law(i) / law(start["i"])),
            "law": name,
        }
        for i in depths
        for name, law in LAWS.items()
    ]
    return guides, guides[-len(LAWS) :]

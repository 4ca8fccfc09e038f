"""The gradient's norm as the monitor of each run saw it."""

from math import hypot

from admin_core.figures.curves import MOST_NAMED_ARMS, OUTCOME_COLOURS
from admin_core.figures.figure import (
    Figure,
    Rows,
    axis,
    coloured,
    logarithmic,
    rounded,
    series,
    thinned,
)
from admin_core.race_report import RaceReport, WatchPoint


def gradient_norms(report: RaceReport) -> Figure | None:
    """Norm of the whole gradient by step, a line a run; none where no monitor looked twice."""
    named = len(report.arms) <= MOST_NAMED_ARMS
    rows: Rows = []
    for arm in report.arms:
        for seed in arm.seeds:
            seen = [
                (point.step, norm)
                for point in seed.monitor.points
                if (norm := _whole(point)) is not None
            ]
            rows += [
                {
                    "step": seen[place][0],
                    "norm": rounded(seen[place][1]),
                    "series": arm.name if named else arm.outcome.value,
                    "line": f"{arm.name} {seed.seed}",
                }
                for place in thinned([norm for _, norm in seen])
            ]
    if len({row["step"] for row in rows}) < 2:
        return None
    present = {arm.outcome for arm in report.arms}
    colours = {o.value: colour for o, colour in OUTCOME_COLOURS.items() if o in present}
    return Figure(
        name="gradient_norms",
        title="Gradient norms",
        caption=(
            "Norm of the gradient of all weights, a line for each seed, at the steps at which the "
            "monitor looked closely. A line that falls towards nothing while the loss stays where "
            "it is belongs to a run that has stalled; one that leaps comes before a spike."
        ),
        chart={
            "width": 560,
            "height": 240,
            "data": {"values": rows},
            "mark": {"type": "line", "strokeWidth": 1.2, "point": {"size": 10}},
            "encoding": {
                "x": axis("step", "step", axis={"format": "d", "tickMinStep": 1}),
                "y": axis("norm", "gradient norm", **logarithmic(row["norm"] for row in rows)),
                "detail": {"field": "line", "type": "nominal"},
                **(
                    series([arm.name for arm in report.arms], "arm")
                    if named
                    else {"color": coloured(colours, "outcome")}
                ),
            },
        },
    )


def _whole(point: WatchPoint) -> float | None:
    """Over all sub-layers and other modules together; none where one is not finite."""
    norms = list(point.gradient_norm.values())
    known = [norm for norm in norms if norm is not None]
    return hypot(*known) if known and len(known) == len(norms) else None

"""Gradients and the optimizer's steps, by depth."""

from collections.abc import Callable

from admin_core.figures.figure import (
    MOST_POINTS,
    Chart,
    Figure,
    Rows,
    axis,
    coloured,
    depth_axis,
    evenly,
    logarithmic,
    rounded,
    stacks_of,
)
from admin_core.report import BranchGradient, Report


def gradients(report: Report) -> Figure | None:
    """|dL/dx_i| over the stack's largest, and |W* - W| / |W|; none where it was not measured."""
    if report.gradients is None or not report.gradients.branches:
        return None
    found = report.gradients.branches
    smallest = min((branch.relative_gradient_norm or 1.0 for branch in found), default=1.0)
    return Figure(
        name="gradients",
        title="Gradients and updates",
        caption=(
            "Left, the gradient that reaches each sub-layer, relative to the largest of its stack: "
            f"the smallest is {smallest:.2g} of it. Right, how far one step of the optimizer moves "
            "the weights of each branch, which adaptive optimizers even out."
        ),
        chart={
            "hconcat": [
                _panel(
                    found,
                    "gradient",
                    "|dL/dx_i|, relative to the stack's largest",
                    lambda branch: branch.relative_gradient_norm,
                ),
                _panel(
                    found,
                    "update",
                    "update ratio |W* - W| / |W|",
                    lambda branch: branch.update_ratio,
                ),
            ]
        },
    )


def _panel(
    found: list[BranchGradient],
    title: str,
    y_title: str,
    value_of: Callable[[BranchGradient], float | None],
) -> Chart:
    rows: Rows = [
        {"i": branch.index, "y": rounded(value), "series": str(branch.stack)}
        for branch in (found[place] for place in evenly(len(found), MOST_POINTS))
        if (value := value_of(branch)) is not None
    ]
    return {
        "title": title,
        "width": 300,
        "height": 220,
        "data": {"values": rows},
        "mark": {"type": "line", "point": {"size": 22}, "strokeWidth": 1},
        "encoding": {
            "x": depth_axis(branch.index for branch in found),
            "y": axis("y", y_title, **logarithmic(row["y"] for row in rows)),
            "color": coloured(stacks_of(branch.stack for branch in found), "stack"),
        },
    }

"""What each branch adds to its shortcut."""

from admin_core.figures.figure import (
    MOST_POINTS,
    Figure,
    axis,
    depth_axis,
    evenly,
    logarithmic,
    rounded,
    series,
)
from admin_core.report import Branch, Report


def branches(report: Report) -> Figure | None:
    """Var[f_i] and Var[x_{i-1}] by depth, a panel for each stack; none without branches."""
    if not report.branches:
        return None
    roles = list(dict.fromkeys(_role(branch) for branch in report.branches))
    values = [branch.branch_variance for branch in report.branches]
    panels = []
    for stack in dict.fromkeys(branch.stack for branch in report.branches):
        found = [branch for branch in report.branches if branch.stack == stack]
        found = [found[place] for place in evenly(len(found), MOST_POINTS)]
        rows = [
            {
                "i": branch.index,
                "variance": rounded(branch.branch_variance),
                "series": _role(branch),
                "path": branch.path,
            }
            for branch in found
        ]
        panels.append(
            {
                "title": str(stack),
                "width": 300,
                "height": 220,
                "data": {"values": rows},
                "mark": {"type": "line", "point": {"size": 22}, "strokeWidth": 1},
                "encoding": {
                    "x": depth_axis(branch.index for branch in found),
                    "y": axis("variance", "branch variance Var[f_i]", **logarithmic(values)),
                    **series(roles, "branch"),
                },
            }
        )
    widest = max(report.branches, key=lambda branch: branch.branch_variance)
    return Figure(
        name="branches",
        title="Variance of the residual branches",
        caption=(
            "Each point is what one residual branch adds to its shortcut, before training. "
            f"The largest variance is {widest.branch_variance:.3g}, at {widest.path}; branches "
            "that stand out from their neighbours are the ones that the model leans on."
        ),
        chart={"hconcat": panels},
    )


def _role(branch: Branch) -> str:
    return branch.role.value.replace("_", " ")

"""Admin's scales by depth."""

from admin_core.figures.figure import (
    GREY,
    MOST_POINTS,
    Figure,
    Rows,
    axis,
    coloured,
    depth_axis,
    evenly,
    rounded,
    stacks_of,
)
from admin_core.report import Report


def omega(report: Report) -> Figure | None:
    """omega_i by depth, with two standard errors where several passes were made; none where no
    stack takes omegas."""
    found = [branch for branch in report.branches if branch.omega is not None]
    if report.omega is None or not found:
        return None
    rows: Rows = []
    for place in evenly(len(found), MOST_POINTS):
        branch = found[place]
        assert branch.omega is not None
        margin = 2 * (branch.omega_sem or 0.0)
        rows.append(
            {
                "i": branch.index,
                "omega": rounded(branch.omega),
                "low": rounded(branch.omega - margin),
                "high": rounded(branch.omega + margin),
                "series": str(branch.stack),
            }
        )
    y_title = "omega_i (scale on the shortcut)"
    layers: list[dict[str, object]] = [
        {
            "data": {"values": [{"omega": 1}]},
            "mark": {"type": "rule", "strokeDash": [4, 4], "color": GREY},
            "encoding": {"x": None, "color": None, "y": axis("omega", y_title)},
        },
        {
            "mark": {"type": "line", "point": {"size": 22}},
            "encoding": {"y": axis("omega", y_title)},
        },
    ]
    if any(row["high"] > row["low"] for row in rows):
        low = axis("low", y_title)
        layers.insert(
            0,
            {
                "mark": {"type": "area", "opacity": 0.25},
                "encoding": {"y": low, "y2": {"field": "high"}},
            },
        )
    colours = stacks_of(branch.stack for branch in found)
    largest = max(row["omega"] for row in rows)
    return Figure(
        name="omega",
        title="Admin's omegas",
        caption=(
            f"What Admin would put on each shortcut ({report.omega.convention} convention), up to "
            f"{largest:.3g}. The dashed line is Post-LN, whose omegas are all 1; the further a "
            "curve rises above it, the less a deep sub-layer depends on its own branch."
        ),
        chart={
            "width": 460,
            "height": 260,
            "data": {"values": rows},
            "encoding": {
                "x": depth_axis(branch.index for branch in found),
                "color": coloured(colours, "stack"),
            },
            "layer": layers,
        },
    )

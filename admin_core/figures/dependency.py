"""How much of each state comes from each branch."""

from admin_core.figures.figure import Chart, Figure, Rows, evenly, rounded
from admin_core.report import DependencySection, Report

MOST_ROWS = 48
SIDE = 260


def dependency(report: Report) -> Figure | None:
    """The matrix beta of each stack as a heat map, thinned to 48 rows; none where it was not
    measured."""
    if not report.dependency:
        return None
    panels = [
        _map(str(stack), section) for stack, section in report.dependency.items() if section.depths
    ]
    if not panels:
        return None
    shown = any(len(section.depths) > MOST_ROWS for section in report.dependency.values())
    return Figure(
        name="dependency",
        title="Dependency on the branches",
        caption=(
            "Row i shows what the state after sub-layer i is made of: its squares sum to about 1. "
            "A bright diagonal means that each state leans on its own branch, as in deep Post-LN; "
            "rows that are even lean on all alike."
            + (f" {MOST_ROWS} rows and columns are shown, evenly spaced." if shown else "")
        ),
        chart={"hconcat": panels},
    )


def _map(title: str, section: DependencySection) -> Chart:
    kept = evenly(len(section.depths), MOST_ROWS)
    # Column 0 is the embedding's; the others are the rows' own.
    columns = [0, *(row + 1 for row in kept)]
    rows: Rows = [
        {"i": section.depths[row], "j": section.branches[column], "beta": rounded(beta)}
        for row in kept
        for column in columns
        if column <= row + 1 and (beta := abs(section.beta[row][column])) is not None
    ]
    step = max(4.0, SIDE / len(columns))
    labels = [section.depths[kept[n]] for n in evenly(len(kept), 6)]
    return {
        "title": title,
        "width": {"step": step},
        "height": {"step": step},
        "data": {"values": rows},
        "mark": "rect",
        "encoding": {
            "x": {
                "field": "j",
                "type": "ordinal",
                "title": "branch j (0: embedding)",
                "axis": {"values": [0, *labels], "labelAngle": 0, "grid": False},
            },
            "y": {
                "field": "i",
                "type": "ordinal",
                "title": "depth i (sub-layers)",
                "axis": {"values": labels, "grid": False},
            },
            "color": {
                "field": "beta",
                "type": "quantitative",
                "title": "|beta_ij|",
                "scale": {"scheme": "viridis", "domainMin": 0},
            },
        },
    }

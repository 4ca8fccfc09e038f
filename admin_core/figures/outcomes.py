"""Where every arm ended."""

from admin_core.figures.curves import OUTCOME_COLOURS
from admin_core.figures.figure import GREY, Figure, Rows, axis, coloured, rounded
from admin_core.race_report import RaceReport


def outcomes(report: RaceReport) -> Figure | None:
    """Final loss with two standard errors, an arm a row; none where no arm has one."""
    rows: Rows = []
    for arm in report.arms:
        if arm.final_loss is None:
            continue
        margin = 2 * (arm.standard_error or 0.0)
        rows.append(
            {
                "arm": arm.name,
                "loss": rounded(arm.final_loss),
                "low": rounded(arm.final_loss - margin),
                "high": rounded(arm.final_loss + margin),
                "series": arm.outcome.value,
            }
        )
    if not rows:
        return None
    y = {
        "field": "arm",
        "type": "nominal",
        "title": None,
        "sort": [row["arm"] for row in rows],
        "axis": {"labelLimit": 260},
    }
    title = "final loss (nats per token)"
    colours = {
        outcome.value: colour
        for outcome, colour in OUTCOME_COLOURS.items()
        if any(row["series"] == outcome.value for row in rows)
    }
    return Figure(
        name="outcomes",
        title="Final losses",
        caption=(
            "Mean over the seeds of the loss in the last tenth of the steps, with two standard "
            "errors. Arms at the dashed line, the unigram loss, have stalled; arms of which no "
            "seed has a finite loss are left out."
        ),
        chart={
            "width": 420,
            "height": {"step": 22},
            "data": {"values": rows},
            "layer": [
                {
                    "data": {"values": [{"loss": rounded(report.unigram_loss)}]},
                    "mark": {"type": "rule", "strokeDash": [4, 4], "color": GREY},
                    "encoding": {"x": axis("loss", title, scale={"zero": False})},
                },
                {
                    "mark": {"type": "rule", "strokeWidth": 2},
                    "encoding": {
                        "y": y,
                        "x": axis("low", title, scale={"zero": False}),
                        "x2": {"field": "high"},
                        "color": coloured(colours, "outcome"),
                    },
                },
                {
                    "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                    "encoding": {
                        "y": y,
                        "x": axis("loss", title, scale={"zero": False}),
                        "color": coloured(colours, "outcome"),
                        "shape": {
                            "field": "series",
                            "type": "nominal",
                            "title": "outcome",
                            "sort": list(colours),
                            "scale": {"domain": list(colours)},
                        },
                    },
                },
            ],
        },
    )

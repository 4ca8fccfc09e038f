"""The largest attention logit of every head."""

from admin_core.figures.figure import Figure, Rows, axis, coloured, rounded, stacks_of
from admin_core.report import Report

MOST_DOTS = 1_000


def attention_logits(report: Report) -> Figure | None:
    """The largest |q k^T / sqrt(d_head)| of each head, attention by attention; none where it was
    not measured."""
    if report.numeric_range is None or not report.numeric_range.attention:
        return None
    found = report.numeric_range.attention
    many = sum(len(attention.largest_logit) for attention in found) > MOST_DOTS
    rows: Rows = [
        {"n": n, "logit": rounded(logit), "series": str(attention.stack)}
        for n, attention in enumerate(found, start=1)
        for logit in sorted(attention.largest_logit, reverse=True)[: 1 if many else None]
    ]
    return Figure(
        name="attention_logits",
        title="Attention logits",
        caption=(
            f"Each point is the largest logit of one {'attention' if many else 'head'}. "
            f"The largest of all is {max(row['logit'] for row in rows):.3g}; a softmax over logits "
            "beyond some tens attends to a single key, and passes hardly any gradient."
        ),
        chart={
            "width": 460,
            "height": 220,
            "data": {"values": rows},
            "mark": {"type": "point", "filled": True, "size": 18, "opacity": 0.7},
            "encoding": {
                "x": axis(
                    "n",
                    "attention, in forward order",
                    scale={"domain": [0, len(found) + 1], "nice": False},
                    axis={"tickMinStep": 1, "format": "d"},
                ),
                "y": axis("logit", "largest |q k^T / sqrt(d_head)|"),
                "color": coloured(stacks_of(one.stack for one in found), "stack"),
            },
        },
    )

"""The loss of every run, step by step."""

from collections.abc import Sequence

from admin_core.figures.figure import (
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILLION,
    Chart,
    Figure,
    Rows,
    axis,
    coloured,
    rounded,
    series,
    thinned,
)
from admin_core.race_report import ArmResult, RaceOutcome, RaceReport

MOST_NAMED_ARMS = 12
"""Beyond these, lines have the colour of their arm's outcome."""

OUTCOME_COLOURS = {
    RaceOutcome.CONVERGED: GREEN,
    RaceOutcome.SPIKED: ORANGE,
    RaceOutcome.STALLED: VERMILLION,
    RaceOutcome.DIVERGED: PURPLE,
}


def curves(report: RaceReport) -> Figure | None:
    """Loss by step: a thin line a seed, a thick one for an arm's mean; none where no run had a
    finite loss."""
    named = len(report.arms) <= MOST_NAMED_ARMS
    seeds: Rows = []
    means: Rows = []
    for arm in report.arms:
        label = arm.name if named else arm.outcome.value
        several = len(arm.seeds) > 1
        for seed in arm.seeds if several else ():
            seeds += _line(seed.losses, label, f"{arm.name} {seed.seed}")
        means += _line(_mean(arm), label, arm.name)
    if not means:
        return None
    told_apart = (
        series([arm.name for arm in report.arms], "arm")
        if named
        else {"color": coloured(_outcomes(report), "outcome")}
    )
    x = axis("step", "step", scale={"nice": False}, axis={"format": "d", "tickMinStep": 1})
    # A run that diverges would leave no room for the others.
    highest = 1.3 * max(report.unigram_loss, *(row["loss"] for row in means if row["step"] == 1))
    lowest = min(row["loss"] for row in (*seeds, *means))
    scale: Chart = {"zero": False, "clamp": True}
    if max(row["loss"] for row in (*seeds, *means)) > highest > lowest:
        scale |= {"domainMax": rounded(highest)}
    y = axis("loss", "training loss (nats per token)", scale=scale)
    thin = {"type": "line", "strokeWidth": 0.7, "opacity": 0.45}
    thick = {"type": "line", "strokeWidth": 2.2 if named else 1.0}
    lines: Chart = {"detail": {"field": "line", "type": "nominal"}, **told_apart}
    return Figure(
        name="curves",
        title="Training loss",
        caption=(
            "Thin lines are seeds, thick ones an arm's mean over them. The dashed line is the "
            f"unigram loss, {report.unigram_loss:.2f} nats: a run that stays there has learned how "
            "frequent each token is, and nothing else."
        ),
        chart={
            "width": 560,
            "height": 320,
            "encoding": {"x": x, "y": y},
            "layer": [
                {"data": {"values": seeds}, "mark": thin, "encoding": lines},
                {"data": {"values": means}, "mark": thick, "encoding": lines},
                {
                    "data": {"values": [{"loss": rounded(report.unigram_loss)}]},
                    "mark": {"type": "rule", "strokeDash": [4, 4], "color": GREY},
                    "encoding": {"x": None, "y": axis("loss", "")},
                },
            ],
        },
    )


def _line(losses: Sequence[float], label: str, line: str) -> Rows:
    return [
        {"step": place + 1, "loss": rounded(losses[place]), "series": label, "line": line}
        for place in thinned(losses)
    ]


def _mean(arm: ArmResult) -> list[float]:
    """Over its seeds, for as long as all of them have a loss."""
    together = zip(*(seed.losses for seed in arm.seeds), strict=False)
    return [sum(losses) / len(losses) for losses in together]


def _outcomes(report: RaceReport) -> dict[str, str]:
    present = {arm.outcome for arm in report.arms}
    return {o.value: colour for o, colour in OUTCOME_COLOURS.items() if o in present}

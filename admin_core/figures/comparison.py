"""Figures of several reports together, a colour for each."""

from collections.abc import Callable, Mapping, Sequence

from admin_core.figures.amplification import MOST_DEPTHS
from admin_core.figures.figure import (
    MOST_POINTS,
    Chart,
    Figure,
    Rows,
    axis,
    depth_axis,
    evenly,
    logarithmic,
    rounded,
    series,
    thinned,
)
from admin_core.race_report import ArmResult, RaceReport
from admin_core.report import Report

Reports = Mapping[str, Report | RaceReport]
"""By the label that each has in the figure."""

OF_COMPARISON = ("output_change", "branch_variances", "losses")


def comparison(reports: Reports) -> list[Figure]:
    """What the reports have in common: of diagnoses the output change and the branches by depth, of
    races the losses by step."""
    diagnoses = {label: each for label, each in reports.items() if isinstance(each, Report)}
    races = {label: each for label, each in reports.items() if isinstance(each, RaceReport)}
    drawn = (_output_change(diagnoses), _branch_variances(diagnoses), _losses(races))
    return [figure for figure in drawn if figure is not None]


def _output_change(reports: Mapping[str, Report]) -> Figure | None:
    def rows(label: str, report: Report, stack: str) -> Rows:
        changes = {} if report.amplification is None else report.amplification.random
        found = {str(name): change for name, change in changes.items()}.get(stack)
        if found is None:
            return []
        return [
            {"i": found.depths[n], "y": rounded(found.output_change[n]), "series": label}
            for n in evenly(len(found.depths), MOST_DEPTHS)
            if found.output_change[n] > 0
        ]

    panels = _panels(reports, rows, "output change D_i (squared, per token)", logs=True)
    if not panels:
        return None
    return Figure(
        name="output_change",
        title="Amplification of a small parameter change",
        caption=(
            "How far the state at each depth moves under a random step of the parameters. The "
            "lower and the flatter a curve, the less depth endangers that model."
        ),
        chart={"hconcat": panels},
    )


def _branch_variances(reports: Mapping[str, Report]) -> Figure | None:
    def rows(label: str, report: Report, stack: str) -> Rows:
        found = [branch for branch in report.branches if branch.stack == stack]
        return [
            {"i": branch.index, "y": rounded(branch.branch_variance), "series": label}
            for branch in (found[n] for n in evenly(len(found), MOST_POINTS))
        ]

    panels = _panels(reports, rows, "branch variance Var[f_i]", logs=False)
    if not panels:
        return None
    return Figure(
        name="branch_variances",
        title="Variance of the residual branches",
        caption="What each residual branch adds to its shortcut, before training.",
        chart={"hconcat": panels},
    )


def _panels(
    reports: Mapping[str, Report],
    rows_of: Callable[[str, Report, str], Rows],
    title: str,
    *,
    logs: bool,
) -> list[Chart]:
    """One panel for each stack that any of the reports has."""
    stacks = dict.fromkeys(
        str(branch.stack) for report in reports.values() for branch in report.branches
    )
    panels = []
    for stack in stacks:
        rows = [row for label, each in reports.items() for row in rows_of(label, each, stack)]
        if not rows:
            continue
        deepest = max(2, *(row["i"] for row in rows))
        x = depth_axis(row["i"] for row in rows)
        if logs:
            scale = {"type": "log", "domain": [1, deepest], "nice": False}
            x |= {"scale": scale, "axis": {"format": "d", "tickCount": 5}}
        panels.append(
            {
                "title": stack,
                "width": 300,
                "height": 240,
                "data": {"values": rows},
                "mark": {"type": "line"},
                "encoding": {
                    "x": x,
                    "y": axis("y", title, **logarithmic(row["y"] for row in rows)),
                    **series(list(reports), None),
                },
            }
        )
    return panels


def _losses(reports: Mapping[str, RaceReport]) -> Figure | None:
    rows: Rows = []
    names = []
    for label, report in reports.items():
        for arm in report.arms:
            name = f"{label}: {arm.name}"
            losses = _mean(arm)
            names.append(name)
            rows += [
                {"step": place + 1, "loss": rounded(losses[place]), "series": name}
                for place in thinned(losses)
            ]
    if not rows:
        return None
    highest = 1.3 * max(row["loss"] for row in rows if row["step"] == 1)
    scale: Chart = {"zero": False, "clamp": True}
    if max(row["loss"] for row in rows) > highest:
        scale |= {"domainMax": rounded(highest)}
    return Figure(
        name="losses",
        title="Training loss",
        caption="Each line is one arm, the mean over its seeds, for as long as all have a loss.",
        chart={
            "width": 520,
            "height": 320,
            "data": {"values": rows},
            "mark": {"type": "line"},
            "encoding": {
                "x": axis("step", "step", scale={"nice": False}, axis={"format": "d"}),
                "y": axis("loss", "training loss (nats per token)", scale=scale),
                **series(names, None),
            },
        },
    )


def _mean(arm: ArmResult) -> Sequence[float]:
    together = zip(*(seed.losses for seed in arm.seeds), strict=False)
    return [sum(losses) / len(losses) for losses in together]

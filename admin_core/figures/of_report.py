"""Which figures a report has."""

from collections.abc import Callable

from admin_core.figures.amplification import amplification
from admin_core.figures.attention_logits import attention_logits
from admin_core.figures.branches import branches
from admin_core.figures.curves import curves
from admin_core.figures.dependency import dependency
from admin_core.figures.figure import Figure
from admin_core.figures.gradient_norms import gradient_norms
from admin_core.figures.gradients import gradients
from admin_core.figures.omega import omega
from admin_core.figures.outcomes import outcomes
from admin_core.race_report import RaceReport
from admin_core.report import Report

OF_DIAGNOSIS: dict[str, Callable[[Report], Figure | None]] = {
    "branches": branches,
    "omega": omega,
    "amplification": amplification,
    "dependency": dependency,
    "gradients": gradients,
    "attention_logits": attention_logits,
}

OF_RACE: dict[str, Callable[[RaceReport], Figure | None]] = {
    "curves": curves,
    "outcomes": outcomes,
    "gradient_norms": gradient_norms,
}


def figures(report: Report | RaceReport) -> list[Figure]:
    """All figures for which the report holds something, in the order in which to read them."""
    drawn: list[Figure | None]
    if isinstance(report, Report):
        drawn = [draw(report) for draw in OF_DIAGNOSIS.values()]
    else:
        drawn = [draw(report) for draw in OF_RACE.values()]
    return [figure for figure in drawn if figure is not None]

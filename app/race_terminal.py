"""A race for people at a terminal, once it is over."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from admin_core.race_report import ArmResult, RaceOutcome, RaceReport

_COLOURS = {
    RaceOutcome.CONVERGED: "green",
    RaceOutcome.SPIKED: "yellow",
    RaceOutcome.STALLED: "red",
    RaceOutcome.DIVERGED: "red",
}


def print_race(report: RaceReport) -> None:
    """Every arm's outcome and losses, and what follows from them."""
    console = Console()
    console.print(_arms(report))
    console.print(escape(report.conclusion))
    environment = report.environment
    seconds = sum(seed.seconds for arm in report.arms for seed in arm.seeds)
    console.print(
        f"unigram loss {report.unigram_loss:.3f}, {environment.device}, "
        f"{seconds:.1f} s in training steps",
        style="dim",
    )


def _arms(report: RaceReport) -> Table:
    table = Table()
    for heading in ("arm", "outcome"):
        table.add_column(heading)
    for heading in ("final loss", "validation", "steps to target", "tokens/s"):
        table.add_column(heading, justify="right")
    for arm in report.arms:
        table.add_row(
            escape(arm.name),
            _outcomes(arm),
            _number(arm.final_loss, 3)
            + ("" if arm.standard_error is None else f" ± {arm.standard_error:.3f}"),
            _number(arm.validation_loss, 3),
            _number(arm.steps_to_target, 0),
            f"{arm.tokens_per_second:,.0f}",
        )
    return table


def _outcomes(arm: ArmResult) -> str:
    """``converged``, or with how many seeds where they differ."""
    several = len(arm.outcomes) > 1
    return ", ".join(
        f"[{_COLOURS[outcome]}]{outcome.value}[/]" + (f" ({count})" if several else "")
        for outcome, count in arm.outcomes.items()
    )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

"""A report for people at a terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from admin_core.report import AmplificationSection, Branch, Report
from app.verdict_terminal import print_verdict

MOST_ROWS = 12
"""Branches shown of each stack; the JSON report holds them all."""


def print_report(report: Report) -> None:
    """The verdict, the branches, and how the output change grows."""
    console = Console()
    if report.verdict is not None:
        print_verdict(console, report.verdict)
    for finding in report.findings:
        console.print(f"  finding   {escape(finding.explanation)} {escape(finding.suggestion)}")
    for part, why in report.unavailable.items():
        console.print(f"  {part} is not available: {escape(why)}", style="dim")
    for stack in dict.fromkeys(branch.stack for branch in report.branches):
        branches = [branch for branch in report.branches if branch.stack == stack]
        console.print(_branch_table(stack, branches))
    if report.amplification is not None:
        console.print(_amplification_table(report.amplification))
    environment = report.environment
    seconds = sum(environment.durations_seconds.values())
    console.print(
        f"{environment.num_parameters:,} parameters, {environment.num_tokens:,} tokens, "
        f"seed {environment.seed}, {environment.device}, {seconds:.1f} s",
        style="dim",
    )


def _branch_table(stack: str, branches: list[Branch]) -> Table:
    shown = _thinned(branches)
    title = f"{stack}: {len(shown)} of {len(branches)} sub-layers"
    table = Table(title=title, title_justify="left")
    for heading in ("i", "branch"):
        table.add_column(heading, justify="right" if heading == "i" else "left")
    for heading in ("Var shortcut", "Var branch", "omega", "dependency"):
        table.add_column(heading, justify="right")
    for branch in shown:
        table.add_row(
            str(branch.index),
            branch.role.value.replace("_", " "),
            f"{branch.shortcut_variance:.3g}",
            f"{branch.branch_variance:.3g}",
            "-" if branch.omega is None else f"{branch.omega:.3f}",
            f"{branch.dependency:.3f}",
        )
    return table


def _thinned(branches: list[Branch]) -> list[Branch]:
    """First, last, and some evenly between."""
    if len(branches) <= MOST_ROWS:
        return branches
    last = len(branches) - 1
    return [branches[round(row * last / (MOST_ROWS - 1))] for row in range(MOST_ROWS)]


def _amplification_table(amplification: AmplificationSection) -> Table:
    table = Table(title="output change", title_justify="left")
    for heading in ("perturbation", "stack"):
        table.add_column(heading)
    for heading in ("at the last depth", "slope"):
        table.add_column(heading, justify="right")
    table.add_column("growth")
    for name, changes in (
        ("random step", amplification.random),
        ("optimizer step", amplification.update),
    ):
        for stack, change in changes.items():
            table.add_row(
                name,
                str(stack),
                f"{change.output_change[-1]:.3g}",
                "-" if change.slope is None else f"{change.slope:.2f}",
                "-" if change.law is None else change.law.value,
            )
    return table

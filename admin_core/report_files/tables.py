"""What of a report is shown as a table, in whatever format. Cells are plain text, escaped nowhere.

A cell that holds a name which a user or a model has chosen is in a column marked as `names`.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from admin_core.figures.figure import evenly
from admin_core.race_report import ArmResult, RaceReport
from admin_core.report import (
    AmplificationSection,
    Branch,
    Quantity,
    Report,
    RuleCheck,
    Verdict,
)

NOTHING = "-"
"""In a cell for which there is no value."""

MOST_FINDINGS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under headings."""

    title: str
    headings: tuple[str, ...]
    numbers: frozenset[str] = frozenset()
    """Headings of the columns that hold numbers."""
    names: frozenset[str] = frozenset()
    """Headings of the columns that hold names from outside."""
    rows: list[tuple[str, ...]]


def reasons(verdict: Verdict) -> Table:
    """What the verdict rests on, worst first."""
    return Table(
        title="What the verdict rests on",
        headings=("rule", "where", "says", "measured", "threshold", "in words"),
        numbers=frozenset({"measured", "threshold"}),
        names=frozenset({"where"}),
        rows=[
            (
                reason.rule,
                reason.path,
                words(reason.outcome.value),
                number(reason.measured),
                number(reason.threshold),
                reason.explanation,
            )
            for reason in verdict.reasons
        ],
    )


EDGES = {
    Quantity.LEARNING_RATE: "largest stable learning rate",
    Quantity.WARMUP_STEPS: "fewest sufficient warm-up steps",
    Quantity.LAYERS: "most stable layers",
}


def edge_value(quantity: Quantity, value: float) -> str:
    """As it would be written in a spec."""
    return f"{value:.2g}" if quantity is Quantity.LEARNING_RATE else f"{value:,.0f}"


def headline(verdict: Verdict) -> str:
    """The outcome, with its probability where there is one."""
    outcome = words(verdict.outcome.value)
    if verdict.failure_probability is None:
        return outcome
    return f"{outcome}, failure probability {verdict.failure_probability:.2g}"


def beside_the_reasons(verdict: Verdict) -> list[Table]:
    """Prescriptions, edges, and what the predictor does not know: those that there are."""
    prescribed = _prescriptions(verdict)
    return [*([prescribed] if prescribed.rows else []), *edges_and_beyond(verdict)]


def edges_and_beyond(verdict: Verdict) -> list[Table]:
    """Edges, and what the predictor does not know: those that there are."""
    return [table for table in (_edges(verdict), _outside(verdict)) if table.rows]


def _prescriptions(verdict: Verdict) -> Table:
    return Table(
        title="Prescriptions, the smallest change first",
        headings=("change", "failure probability", "patch"),
        numbers=frozenset({"failure probability"}),
        names=frozenset({"patch"}),
        rows=[
            (each.change, number(each.failure_probability, 2), json.dumps(each.patch))
            for each in verdict.prescriptions
        ],
    )


def _edges(verdict: Verdict) -> Table:
    return Table(
        title="Edges, all else as given",
        headings=("setting", "edge", "80 % interval", "given", "searched", "failure probability"),
        numbers=frozenset({"edge", "given", "failure probability"}),
        rows=[
            (
                EDGES[edge.quantity],
                NOTHING if edge.stable is None else edge_value(edge.quantity, edge.stable),
                _range(edge.quantity, edge.interval),
                edge_value(edge.quantity, edge.given),
                _range(edge.quantity, edge.searched),
                number(edge.level, 2),
            )
            for edge in verdict.edges
        ],
    )


def _range(quantity: Quantity, ends: tuple[float, float] | None) -> str:
    return NOTHING if ends is None else " to ".join(edge_value(quantity, end) for end in ends)


def _outside(verdict: Verdict) -> Table:
    return Table(
        title="Outside the range that the predictor was calibrated on",
        headings=("what",),
        rows=[(outside,) for outside in verdict.outside_calibration],
    )


def network(report: Report) -> list[Table]:
    """What is wrong with how a network is put together, and what cannot be had of it: those that
    there are."""
    found = (_findings(report), _unavailable(report))
    return [table for table in found if table.rows]


def _findings(report: Report) -> Table:
    shown, counted = report.findings[:MOST_FINDINGS], len(report.findings)
    more = f", {len(shown)} of {counted:,} findings" if len(shown) < counted else ""
    return Table(
        title="How the network is put together" + more,
        headings=("rule", "where", "measured", "threshold", "in words"),
        numbers=frozenset({"measured", "threshold"}),
        names=frozenset({"where"}),
        rows=[
            (
                finding.rule,
                finding.path,
                number(finding.measured),
                number(finding.threshold),
                f"{finding.explanation} {finding.suggestion}",
            )
            for finding in shown
        ],
    )


def _unavailable(report: Report) -> Table:
    return Table(
        title="Not available",
        headings=("part", "why"),
        names=frozenset({"part"}),
        rows=list(report.unavailable.items()),
    )


def growth(amplification: AmplificationSection) -> Table:
    """How the output change grows with depth, under each step and in each stack."""
    steps = {"random step": amplification.random, "optimizer step": amplification.update}
    return Table(
        title="Growth of the output change with depth",
        headings=("parameters moved by", "stack", "D_N at the last depth", "slope", "law"),
        numbers=frozenset({"D_N at the last depth", "slope"}),
        rows=[
            (
                step,
                str(stack),
                number(change.output_change[-1] if change.output_change else None),
                number(change.slope, 2),
                NOTHING if change.law is None else change.law.value,
            )
            for step, changes in steps.items()
            for stack, change in changes.items()
        ],
    )


def rules(report: Report) -> Table | None:
    """Every rule that was held against the model beside the verdict's; none where none was."""
    checks = rule_checks(report)
    if not checks:
        return None
    return Table(
        title="Further rules, which do not enter the verdict",
        headings=("rule", "checked", "offending", "worst", "measured", "threshold"),
        numbers=frozenset({"checked", "offending", "measured", "threshold"}),
        names=frozenset({"worst"}),
        rows=[_rule(check) for check in checks],
    )


def rule_checks(report: Report) -> list[RuleCheck]:
    sections = (report.stability_rules, report.numeric_range)
    return [check for section in sections if section is not None for check in section.checks]


def _rule(check: RuleCheck) -> tuple[str, ...]:
    worst = check.findings[0] if check.findings else None
    return (
        check.rule,
        f"{check.checked:,}",
        f"{check.offending:,}",
        NOTHING if worst is None else worst.path,
        number(None if worst is None else worst.measured),
        number(None if worst is None else worst.threshold),
    )


def sublayers(branches: list[Branch], *, most: int) -> Table:
    """Variances, omega and dependency of each branch; of more than `most`, some evenly between."""
    shown = [branches[place] for place in evenly(len(branches), most)]
    counted = f"{len(branches):,} sub-layers"
    return Table(
        title=counted if len(shown) == len(branches) else f"{len(shown):,} of {counted}",
        headings=(
            "stack",
            "i",
            "path",
            "branch",
            "Var shortcut",
            "Var branch",
            "omega",
            "dependency",
        ),
        numbers=frozenset({"i", "Var shortcut", "Var branch", "omega", "dependency"}),
        names=frozenset({"path"}),
        rows=[
            (
                str(branch.stack),
                str(branch.index),
                branch.path,
                words(branch.role.value),
                number(branch.shortcut_variance),
                number(branch.branch_variance),
                number(branch.omega, 4),
                number(branch.dependency),
            )
            for branch in shown
        ],
    )


def arms(report: RaceReport) -> Table:
    """What became of each arm, beside what was predicted of it if anything was."""
    predicted = any(arm.predicted_failure_probability is not None for arm in report.arms)
    numbers = ("final loss", "validation loss", "steps to target", "tokens/s", "parameters")
    prediction = ("predicted to fail",) if predicted else ()
    return Table(
        title="Arms",
        headings=("arm", "outcome", *prediction, *numbers),
        numbers=frozenset((*prediction, *numbers)),
        names=frozenset({"arm"}),
        rows=[
            (
                arm.name,
                arm_outcomes(arm),
                *((number(arm.predicted_failure_probability, 2),) if predicted else ()),
                _with_error(arm.final_loss, arm.standard_error),
                _digits(arm.validation_loss, 3),
                _digits(arm.steps_to_target, 0),
                f"{arm.tokens_per_second:,.0f}",
                f"{arm.num_parameters:,}",
            )
            for arm in report.arms
        ],
    )


def arm_outcomes(arm: ArmResult) -> str:
    """``converged``, or with how many seeds where they differ."""
    several = len(arm.outcomes) > 1
    return ", ".join(
        outcome.value + (f" ({count})" if several else "")
        for outcome, count in arm.outcomes.items()
    )


def _with_error(value: float | None, error: float | None) -> str:
    return _digits(value, 3) + ("" if error is None else f" ± {error:.3f}")


def _digits(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"


def number(value: float | None, digits: int = 3) -> str:
    return NOTHING if value is None else f"{value:.{digits}g}"


def words(name: str) -> str:
    """``at risk`` of ``at_risk``."""
    return name.replace("_", " ")


def joined(parts: Iterable[str | None]) -> str:
    """The parts that there are, as one line."""
    return " · ".join(part for part in parts if part)

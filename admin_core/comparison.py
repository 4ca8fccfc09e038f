"""Two or more reports side by side, as data: one row a quantity, one column a report.

Pages and the command line show the same rows; `cells` is their text.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from admin_core.errors import AdminCoreError
from admin_core.race_report import ArmResult, RaceReport
from admin_core.report import OutputChange, Quantity, Report, Section, Verdict
from admin_core.report_files.tables import EDGES, NOTHING, arm_outcomes, number, words

MOST_REQUEST_ROWS = 60
"""Members of the requests that are shown to differ."""
LONGEST_VALUE = 80
"""Characters of such a member."""

Value = float | str | None


class ComparisonError(AdminCoreError):
    """What was given cannot be set side by side."""


class RowKind(StrEnum):
    """How the values of a row read."""

    TEXT = "text"
    NUMBER = "number"
    COUNT = "count"
    """A whole number, or a mean of some."""


class Row(Section):
    """One quantity of every report."""

    group: str
    """What the quantity belongs to, such as ``verdict`` or the name of an arm; the rows of a group
    follow each other."""
    quantity: str
    kind: RowKind
    values: list[Value]
    """In the order of the columns; None where a report has none."""
    differs: bool
    """Whether the values are not all the same."""


class Comparison(Section):
    """What two or more diagnoses, or two or more races, have in common and what not."""

    kind: Literal["diagnosis", "race"]
    columns: list[str]
    """Names of the reports."""
    rows: list[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One report that is set beside others."""

    name: str
    report: Report | RaceReport
    request: Mapping[str, Any] | None = None
    """What was asked for, to say where the requests differ."""


def compare(compared: Sequence[Compared]) -> Comparison:
    """The reports side by side, in the order given.

    Raises:
        ComparisonError: they are fewer than two, or diagnoses and races together.
    """
    if len(compared) < 2:
        raise ComparisonError(f"A comparison needs two reports or more; {len(compared)} was given.")
    reports = [one.report for one in compared]
    diagnoses = [report for report in reports if isinstance(report, Report)]
    races = [report for report in reports if isinstance(report, RaceReport)]
    if diagnoses and races:
        raise ComparisonError(
            "Diagnoses and races have nothing to set side by side. Compare diagnoses with "
            "diagnoses, or races with races."
        )
    rows = [*_request_rows([one.request for one in compared])]
    rows += _diagnosis_rows(diagnoses) if diagnoses else _race_rows(races)
    return Comparison(
        kind="diagnosis" if diagnoses else "race",
        columns=[one.name for one in compared],
        rows=rows,
    )


def cells(row: Row) -> list[str]:
    """The values as they are read."""
    return [_cell(row.kind, value) for value in row.values]


def _cell(kind: RowKind, value: Value) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if kind is RowKind.COUNT else number(value)


def _row(group: str, quantity: str, kind: RowKind, values: Sequence[Value]) -> Row:
    return Row(
        group=group,
        quantity=quantity,
        kind=kind,
        values=list(values),
        differs=len(set(values)) > 1,
    )


def _known(rows: Iterator[Row]) -> list[Row]:
    """Those for which at least one report has a value."""
    return [row for row in rows if any(value is not None for value in row.values)]


# Requests


def _request_rows(requests: Sequence[Mapping[str, Any] | None]) -> list[Row]:
    """Every member in which the requests differ, by its dotted path."""
    flat = [dict(_members(request or {})) for request in requests]
    paths = list(dict.fromkeys(path for members in flat for path in members))
    rows = (
        _row("request", path, RowKind.TEXT, [members.get(path) for members in flat])
        for path in paths
    )
    return [row for row in rows if row.differs][:MOST_REQUEST_ROWS]


def _members(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inside in value.items():
            yield from _members(inside, f"{path}.{name}" if path else str(name))
    elif value is not None:
        yield path, _shortened(value if isinstance(value, str) else _written(value))


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(_written(one) for one in value)
    return str(value)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


# Diagnoses


def _diagnosis_rows(reports: Sequence[Report]) -> list[Row]:
    return [
        *_known(_verdict_rows([report.verdict for report in reports])),
        *_known(_growth_rows(reports)),
        *_known(_branch_rows(reports)),
        *_known(_size_rows(reports)),
    ]


def _verdict_rows(verdicts: Sequence[Verdict | None]) -> Iterator[Row]:
    def each(of: Callable[[Verdict], Value]) -> list[Value]:
        return [None if verdict is None else of(verdict) for verdict in verdicts]

    text, figure = RowKind.TEXT, RowKind.NUMBER
    yield _row("verdict", "outcome", text, each(lambda one: words(one.outcome.value)))
    probabilities = each(lambda one: one.failure_probability)
    yield _row("verdict", "failure probability", figure, probabilities)
    worst = each(lambda one: one.reasons[0].explanation if one.reasons else None)
    yield _row("verdict", "first reason", text, worst)
    change = each(lambda one: one.prescriptions[0].change if one.prescriptions else None)
    yield _row("verdict", "smallest prescription", text, change)
    mended = each(
        lambda one: one.prescriptions[0].failure_probability if one.prescriptions else None
    )
    yield _row("verdict", "failure probability after it", figure, mended)
    for quantity, title in EDGES.items():
        edges: list[Value] = [
            next((edge.stable for edge in one.edges if edge.quantity is quantity), None)
            if one is not None
            else None
            for one in verdicts
        ]
        rate = quantity is Quantity.LEARNING_RATE
        yield _row("verdict", title, figure if rate else RowKind.COUNT, edges)


def _growth_rows(reports: Sequence[Report]) -> Iterator[Row]:
    sections = [report.amplification for report in reports]
    steps = {
        "random step": [{} if one is None else one.random for one in sections],
        "optimizer step": [{} if one is None else one.update for one in sections],
    }
    for step, changes in steps.items():
        for stack in _stacks(changes):
            found: list[OutputChange | None] = [change.get(stack) for change in changes]
            group = f"output change, {stack}, {step}"
            slopes = [None if one is None else one.slope for one in found]
            yield _row(group, "slope", RowKind.NUMBER, slopes)
            laws = [None if one is None or one.law is None else one.law.value for one in found]
            yield _row(group, "law", RowKind.TEXT, laws)
            last = [
                None if one is None or not one.output_change else one.output_change[-1]
                for one in found
            ]
            yield _row(group, "at the last depth", RowKind.NUMBER, last)


def _branch_rows(reports: Sequence[Report]) -> Iterator[Row]:
    """Of each stack: its omegas from first to last, and how much leans on the branches."""
    by_stack = [
        {stack: [one for one in report.branches if one.stack == stack] for stack in _own(report)}
        for report in reports
    ]
    for stack in _stacks(by_stack):
        branches = [stacks.get(stack, []) for stacks in by_stack]
        omegas = [[one.omega for one in each if one.omega is not None] for each in branches]
        group = f"sub-layers, {stack}"
        yield _row(group, "number", RowKind.COUNT, [len(each) or None for each in branches])
        for title, of in (
            ("omega, first", lambda each: each[0]),
            ("omega, last", lambda each: each[-1]),
            ("omega, largest", max),
        ):
            yield _row(
                group, title, RowKind.NUMBER, [of(each) if each else None for each in omegas]
            )
        variances = [[one.branch_variance for one in each] for each in branches]
        for title, choose in (("smallest", min), ("largest", max)):
            yield _row(
                group,
                f"Var branch, {title}",
                RowKind.NUMBER,
                [choose(each) if each else None for each in variances],
            )
        leaning = [[one.dependency for one in each] for each in branches]
        yield _row(
            group,
            "dependency, mean",
            RowKind.NUMBER,
            [sum(each) / len(each) if each else None for each in leaning],
        )
        yield _row(
            group,
            "relative gradient norm, smallest",
            RowKind.NUMBER,
            [_smallest_gradient(report, stack) for report in reports],
        )


def _smallest_gradient(report: Report, stack: str) -> float | None:
    if report.gradients is None:
        return None
    norms = [
        one.relative_gradient_norm
        for one in report.gradients.branches
        if one.stack == stack and one.relative_gradient_norm is not None
    ]
    return min(norms, default=None)


def _size_rows(reports: Sequence[Report]) -> Iterator[Row]:
    parts = [report.environment for report in reports]
    yield _row("run", "parameters", RowKind.COUNT, [one.num_parameters for one in parts])
    yield _row("run", "tokens", RowKind.COUNT, [one.num_tokens for one in parts])
    yield _row("run", "device", RowKind.TEXT, [one.device for one in parts])
    seconds = [sum(one.durations_seconds.values()) for one in parts]
    yield _row("run", "seconds", RowKind.NUMBER, seconds)


def _own(report: Report) -> list[str]:
    return list(dict.fromkeys(str(branch.stack) for branch in report.branches))


def _stacks(parts: Sequence[Mapping[Any, Any]]) -> list[Any]:
    """Every stack that one of them has, in the order in which they first come."""
    return list(dict.fromkeys(stack for part in parts for stack in part))


# Races


def _race_rows(races: Sequence[RaceReport]) -> list[Row]:
    names = list(dict.fromkeys(arm.name for race in races for arm in race.arms))
    rows = [row for name in names for row in _known(_arm_rows(name, races))]
    return rows + _known(_whole_race_rows(races))


def _arm_rows(name: str, races: Sequence[RaceReport]) -> Iterator[Row]:
    found = [next((arm for arm in race.arms if arm.name == name), None) for race in races]

    def each(of: Callable[[ArmResult], Value]) -> list[Value]:
        return [None if arm is None else of(arm) for arm in found]

    group = f"arm {name}"
    figure, count = RowKind.NUMBER, RowKind.COUNT
    yield _row(group, "outcome", RowKind.TEXT, each(arm_outcomes))
    predicted = each(lambda arm: arm.predicted_failure_probability)
    yield _row(group, "predicted to fail", figure, predicted)
    yield _row(group, "final loss", figure, each(lambda arm: arm.final_loss))
    yield _row(group, "standard error", figure, each(lambda arm: arm.standard_error))
    yield _row(group, "validation loss", figure, each(lambda arm: arm.validation_loss))
    yield _row(group, "steps to target", count, each(lambda arm: arm.steps_to_target))
    yield _row(group, "tokens/s", count, each(lambda arm: arm.tokens_per_second))
    yield _row(group, "parameters", count, each(lambda arm: arm.num_parameters))
    yield _row(group, "seeds", count, each(lambda arm: len(arm.seeds)))


def _whole_race_rows(races: Sequence[RaceReport]) -> Iterator[Row]:
    unigram = [race.unigram_loss for race in races]
    yield _row("race", "unigram loss", RowKind.NUMBER, unigram)
    yield _row("race", "target loss", RowKind.NUMBER, [race.target_loss for race in races])
    yield _row("race", "conclusion", RowKind.TEXT, [race.conclusion for race in races])

"""The table of sub-layers, sorted by whichever column; without script, by links."""

from enum import StrEnum
from typing import NamedTuple

from admin_core.figures.figure import evenly
from admin_core.report import Branch
from admin_core.report_files.tables import number, words

MOST_ROWS = 1_000


class Column(StrEnum):
    """As an address names it."""

    INDEX = "index"
    PATH = "path"
    ROLE = "role"
    SHORTCUT = "shortcut_variance"
    BRANCH = "branch_variance"
    OMEGA = "omega"
    DEPENDENCY = "dependency"

    @property
    def heading(self) -> str:
        return _HEADINGS[self]

    @property
    def is_number(self) -> bool:
        return self not in (Column.PATH, Column.ROLE)


_HEADINGS = {
    Column.INDEX: "i",
    Column.PATH: "path",
    Column.ROLE: "branch",
    Column.SHORTCUT: "Var shortcut",
    Column.BRANCH: "Var branch",
    Column.OMEGA: "omega",
    Column.DEPENDENCY: "dependency",
}


class Cell(NamedTuple):
    """What is shown, and by what it is sorted."""

    text: str
    value: float | str | None


class SublayerRows(NamedTuple):
    """The rows, and of how many they are."""

    rows: list[list[Cell]]
    total: int


def sublayer_rows(branches: list[Branch], column: Column, *, descending: bool) -> SublayerRows:
    """One row a sub-layer; of very many, some evenly between. What has no value comes last."""
    shown = [branches[place] for place in evenly(len(branches), MOST_ROWS)]
    rows = [_cells(place, branch) for place, branch in enumerate(shown)]
    at = list(Column).index(column)
    known = [row for row in rows if row[at].value is not None]
    known.sort(key=lambda row: row[at].value, reverse=descending)  # type: ignore[arg-type, return-value]
    unknown = [row for row in rows if row[at].value is None]
    return SublayerRows(known + unknown, len(branches))


def _cells(place: int, branch: Branch) -> list[Cell]:
    return [
        # In forward order, where each stack counts from 1.
        Cell(f"{branch.stack} {branch.index}", place),
        Cell(branch.path, branch.path),
        Cell(words(branch.role.value), branch.role.value),
        Cell(number(branch.shortcut_variance), branch.shortcut_variance),
        Cell(number(branch.branch_variance), branch.branch_variance),
        Cell(number(branch.omega, 4), branch.omega),
        Cell(number(branch.dependency), branch.dependency),
    ]

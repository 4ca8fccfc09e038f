"""A comparison for people at a terminal."""

from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from admin_core.comparison import Comparison, cells


def print_comparison(comparison: Comparison) -> None:
    """Row by row under the names of the reports; what differs is bold."""
    table = Table(show_lines=False)
    table.add_column("")
    for name in comparison.columns:
        table.add_column(escape(name), overflow="fold")
    for group, rows in groupby(comparison.rows, key=lambda row: row.group):
        table.add_section()
        table.add_row(f"[dim]{escape(group)}[/]")
        for row in rows:
            style = "bold" if row.differs else None
            table.add_row(f"  {escape(row.quantity)}", *map(escape, cells(row)), style=style)
    Console().print(table)

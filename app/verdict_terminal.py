"""A verdict for people at a terminal: what is predicted, why, how far the settings may go, and what
would mend the model."""

import json

from rich.console import Console
from rich.markup import escape

from admin_core.report import Edge, Outcome, Prescription, Reason, Verdict
from admin_core.report_files.tables import EDGES, edge_value

_COLOURS = {Outcome.STABLE: "green", Outcome.AT_RISK: "yellow", Outcome.UNSTABLE: "red"}


def print_verdict(console: Console, verdict: Verdict) -> None:
    """Outcome and failure probability, reasons, and what there is of edges and prescriptions."""
    outcome = verdict.outcome
    headline = f"[bold {_COLOURS[outcome]}]{outcome.value.replace('_', ' ')}[/]"
    if verdict.failure_probability is not None:
        headline += f", failure probability {verdict.failure_probability:.2g}"
    console.print(headline)
    for reason in verdict.reasons:
        console.print(_reason(reason))
    for outside in verdict.outside_calibration:
        console.print(f"  outside the calibrated range: {escape(outside)}")
    if verdict.edges:
        levels = " or ".join(sorted({f"{edge.level:.2g}" for edge in verdict.edges}))
        console.print(
            f"edges, where the failure probability passes {levels}, all else as given", style="bold"
        )
    for edge in verdict.edges:
        console.print(_edge(edge))
    if verdict.prescriptions:
        console.print("prescriptions, the smallest change first", style="bold")
    for number, prescription in enumerate(verdict.prescriptions):
        _print_prescription(console, number, prescription)
    console.print()


def _reason(reason: Reason) -> str:
    share = "" if reason.share is None else f" ({reason.share:.0%} of what speaks for failure)"
    return f"  {reason.outcome.value:<9} {escape(reason.explanation)}{share}"


def _edge(edge: Edge) -> str:
    """``largest stable learning rate 0.0003 (80 % interval 0.0002 to 0.0005), given 0.001``"""
    quantity = edge.quantity
    low, high = (edge_value(quantity, end) for end in edge.searched)
    if edge.stable is None:
        found = f"none from {low} to {high}"
    else:
        found = edge_value(quantity, edge.stable)
        if edge.interval is not None:
            sure = " to ".join(edge_value(quantity, end) for end in edge.interval)
            found += f" (80 % interval {sure})"
        if edge.stable in edge.searched:
            found += ", where the search ended"
    return f"  {EDGES[quantity]} {found}, given {edge_value(quantity, edge.given)}"


def _print_prescription(console: Console, number: int, prescription: Prescription) -> None:
    console.print(
        f"  {number}  {escape(prescription.change)}: failure probability "
        f"{prescription.failure_probability:.2g}"
    )
    # In one piece, whatever the width, so that it can be copied.
    console.print(f"     {escape(json.dumps(prescription.patch))}", style="dim", soft_wrap=True)

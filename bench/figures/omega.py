"""Omega by depth under every convention, and how far from published values it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from admin_core.diagnosis import diagnose_spec
from admin_core.omega_files import read_clinic
from admin_core.report import Branch
from admin_core.spec import DiagnosisSpec, Stack
from bench.figures.look import BLACK, BLUE, GREEN, ORANGE, PURPLE, Chart, Rows, colour, rounded
from bench.published_omegas import AVERAGE, LARGEST, paper_spec, relative_deviations

CONVENTIONS: dict[str, dict[str, Any]] = {
    "clinic": {"convention": "clinic", "seeds": 3},
    "paper": {"convention": "paper", "first_value": "embedding_variance"},
}
COLOURS = {
    "clinic": GREEN,
    "paper": BLUE,
    "O(log n)": ORANGE,
    "O(1)": PURPLE,
    "O(n)": BLACK,
}


def measure(published: Path | None) -> tuple[Rows, Rows]:
    """omega of each sub-layer, and the deviation of `clinic` from the file where one is given."""
    omegas: Rows = []
    deviations: Rows = []
    for name, omega in CONVENTIONS.items():
        spec = paper_spec(seed=0, seeds=1).model_dump(mode="json") | {"omega": omega}
        report = diagnose_spec(DiagnosisSpec.model_validate(spec))
        omegas += [_row(name, branch, branch.omega or 0.0) for branch in report.branches]
        if name != "clinic":
            continue
        assert report.omega is not None, "it was asked for"
        for stack, others in report.omega.comparators.items():
            of_stack = [branch for branch in report.branches if branch.stack is stack]
            for scale, value in others.closed_form.items():
                ends = (of_stack[0], of_stack[-1])
                omegas += [_row(scale.value, branch, value) for branch in ends]
        if published is not None:
            expected = read_clinic(published.read_text(), report.branches)
            deviations = _deviations(report.branches, expected)
    return omegas, deviations


def _deviations(branches: Sequence[Branch], expected: Sequence[float]) -> Rows:
    return [
        _row("clinic", branch, 100 * deviation)
        for branch, deviation in zip(branches, relative_deviations(branches, expected), strict=True)
    ]


def _row(series: str, branch: Branch, value: float) -> dict[str, Any]:
    return {
        "series": series,
        "stack": str(branch.stack),
        "i": branch.index,
        "value": rounded(value),
    }


def chart(omegas: Rows, deviations: Rows) -> Chart:
    """Encoder and decoder side by side, the deviations below where there are any."""
    x = {
        "field": "i",
        "type": "quantitative",
        "title": "depth i (sub-layers)",
        "axis": {"tickCount": 6},
    }
    above = [
        {
            "title": stack.value,
            "width": 300,
            "height": 220,
            "data": {"values": [row for row in omegas if row["stack"] == stack]},
            "mark": "line",
            "encoding": {
                "x": x,
                "y": {
                    "field": "value",
                    "type": "quantitative",
                    "title": "omega_i (no unit)",
                    "scale": {"domain": [0, 18]},
                },
                "color": colour(COLOURS, "convention"),
            },
        }
        for stack in Stack
    ]
    below = [
        {
            "width": 300,
            "height": 120,
            "layer": [
                {
                    "data": {"values": [row for row in deviations if row["stack"] == stack]},
                    "mark": {"type": "line", "color": GREEN},
                    "encoding": {
                        "x": x,
                        "y": {
                            "field": "value",
                            "type": "quantitative",
                            "title": "deviation (%)",
                            "scale": {"domain": [0, 3.5]},
                        },
                    },
                },
                {
                    "data": {
                        "values": [
                            {"limit": 100 * LARGEST, "means": "most for any omega"},
                            {"limit": 100 * AVERAGE, "means": "most on average"},
                        ]
                    },
                    "layer": [
                        {"mark": {"type": "rule", "strokeDash": [4, 4]}},
                        {
                            "mark": {
                                "type": "text",
                                "align": "right",
                                "dx": -4,
                                "dy": -7,
                                "x": 300,
                            },
                            "encoding": {"text": {"field": "means"}},
                        },
                    ],
                    "encoding": {"y": {"field": "limit", "type": "quantitative"}},
                },
            ],
        }
        for stack in Stack
    ]
    return {"vconcat": [{"hconcat": above}, *([{"hconcat": below}] if deviations else [])]}

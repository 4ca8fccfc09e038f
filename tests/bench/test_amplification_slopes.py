"""The recorded slopes keep to the paper's corollaries, and are still what the code measures."""

import itertools
import json
from typing import Any

import pytest

from bench.amplification_slopes import (
    DATA,
    RESULTS,
    SCHEMES,
    SEEDS,
    WIDTHS,
    output_change,
    pooled_growth,
)

ROWS: list[dict[str, Any]] = [json.loads(line) for line in RESULTS.read_text().splitlines()]


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("width", WIDTHS)
def test_over_200_sublayers_post_ln_is_linear_and_pre_ln_and_admin_logarithmic(
    data: str, width: int
) -> None:
    slopes = {
        scheme: pooled_growth(
            [row for row in ROWS if (row["data"], row["width"], row["scheme"]) == cell]
        ).slope
        for scheme in SCHEMES
        for cell in [(data, width, scheme)]
    }
    assert slopes["post_ln"] >= 1.0
    assert slopes["pre_ln"] <= 0.6
    assert slopes["admin"] <= 0.6


def test_every_cell_was_measured_with_every_seed() -> None:
    recorded = {(row["data"], row["width"], row["scheme"], row["seed"]) for row in ROWS}
    assert recorded == set(itertools.product(DATA, WIDTHS, SCHEMES, SEEDS))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_recorded_row_is_what_is_measured_today(scheme: str) -> None:
    cell = ("uniform", 64, scheme, 0)
    row = next(r for r in ROWS if (r["data"], r["width"], r["scheme"], r["seed"]) == cell)
    assert output_change(*cell).output_change == pytest.approx(row["output_change"], rel=0.02)

"""Outcomes and features side by side."""

from dataclasses import dataclass
from typing import Any

from admin_core.training.outcomes import STALLED_SHARE
from bench.prediction.again import AGAIN
from bench.prediction.baselines import MEASURED as OUTPUT_CHANGES
from bench.prediction.families import FAMILIES
from bench.prediction.features import MEASURED
from bench.prediction.outcomes import stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One configuration: what was measured before, and what training did."""

    family: str
    number: int
    split: str
    spec: dict[str, Any]
    features: dict[str, list[float]]
    """Of each probe; the first is the one that a verdict would have made."""
    failed: bool
    """Whether the run diverged or stalled."""
    final_share: float
    """The final loss over the unigram loss; infinite where it diverged."""
    final_share_again: float | None
    """The same of a run with another seed; None where there was none."""
    update: float
    """Output change under one optimizer step; 0 where it was not measured."""
    growth: float
    """Of the output change over depth; 0 where it was not measured."""


def rows() -> list[Row]:
    """All configurations that have both."""
    features = {(row["family"], row["number"]): row for row in stored(MEASURED)}
    changes = {(row["family"], row["number"]): row for row in stored(OUTPUT_CHANGES)}
    again = {(row["family"], row["number"]): row for row in stored(AGAIN)}
    found = []
    for row in stored():
        measured = features.get((row["family"], row["number"]))
        if measured is None:
            continue
        change = changes.get((row["family"], row["number"]), {})
        other = again.get((row["family"], row["number"]))
        share = _final_share(row)
        found.append(
            Row(
                family=row["family"],
                number=row["number"],
                split=FAMILIES[row["family"]].split,
                spec=row["spec"],
                features=measured["features"],
                failed=share >= STALLED_SHARE,
                final_share=share,
                final_share_again=None if other is None else _final_share(other),
                update=change.get("update") or 0.0,
                growth=change.get("growth") or 0.0,
            )
        )
    return found


def _final_share(row: dict[str, Any]) -> float:
    diverged = row["outcome"] == "diverged" or row["final_loss"] is None
    return float("inf") if diverged else row["final_loss"] / row["unigram_loss"]

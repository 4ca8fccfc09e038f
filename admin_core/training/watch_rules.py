"""What a monitor calls a finding at one look, as data.

The thresholds of vanishing_gradient, weight_update_ratio, dead_units and saturated_units are the
defaults of SageMaker Debugger. Growing logits are held against the run's first look, because their
healthy size depends on the model: GROWTH times as large, and above GROWN_LOGIT.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from admin_core.race_report import WatchPoint

VANISHING = 1e-7
LARGE_UPDATE = 10.0
SMALL_UPDATE = 1e-8
NEVER_SHARE = 0.5
GROWTH = 10.0
GROWN_LOGIT = 50.0


class Violation(NamedTuple):
    """One rule broken at one place."""

    rule: str
    path: str
    measured: float | None
    """None where it is not finite."""

    threshold: float | None
    formula: str
    below: bool = False
    """Whether worse means smaller."""


def violations(now: WatchPoint, first: WatchPoint) -> Iterator[Violation]:
    """Every rule that the look breaks, at every place; `first` is the run's first look."""
    yield from _not_finite("gradient", now.gradient_norm)
    yield from _not_finite("attention logit", now.largest_attention_logit)
    yield from _not_finite("dependency", now.dependency)
    if first.largest_output_logit is not None:
        output = {"output": now.largest_output_logit}
        yield from _not_finite("output logit", output)
        yield from _grown("output_logit_growth", output, {"output": first.largest_output_logit})
    yield from _grown(
        "attention_logit_growth", now.largest_attention_logit, first.largest_attention_logit
    )
    for path, norm in now.gradient_norm.items():
        if norm is not None and norm < VANISHING:
            yield Violation(
                "vanishing_gradient", path, norm, VANISHING, f"|dL/dW| < {VANISHING:g}", True
            )
    for path, ratio in now.update_ratio.items():
        if ratio is not None and ratio > LARGE_UPDATE:
            yield Violation(
                "weight_update_ratio", path, ratio, LARGE_UPDATE, f"|W* - W| / |W| > {LARGE_UPDATE}"
            )
        elif ratio is not None and ratio < SMALL_UPDATE:
            yield Violation(
                "weight_update_ratio",
                path,
                ratio,
                SMALL_UPDATE,
                f"|W* - W| / |W| < {SMALL_UPDATE:g}",
                True,
            )
    yield from _units("dead_units", "never active", now.dead_units)
    yield from _units("saturated_units", "always saturated", now.saturated_units)


def _not_finite(quantity: str, found: Mapping[str, float | None]) -> Iterator[Violation]:
    for path, value in found.items():
        if value is None:
            yield Violation("non_finite", path, None, None, f"{quantity} is NaN or infinite")


def _grown(
    rule: str, now: Mapping[str, float | None], first: Mapping[str, float | None]
) -> Iterator[Violation]:
    for path, value in now.items():
        threshold = max(GROWN_LOGIT, GROWTH * (first.get(path) or 0.0))
        if value is not None and value > threshold:
            formula = f"largest |logit| > {GROWTH:g} x the first look's and > {GROWN_LOGIT:g}"
            yield Violation(rule, path, value, threshold, formula)


def _units(rule: str, state: str, shares: Mapping[str, float]) -> Iterator[Violation]:
    for path, share in shares.items():
        if share > NEVER_SHARE:
            formula = f"share of units {state} > {NEVER_SHARE:g}"
            yield Violation(rule, path, share, NEVER_SHARE, formula)

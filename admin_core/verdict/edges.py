"""How far one setting may go, all others as given: the largest stable learning rate, the shortest
sufficient warm-up, the deepest stable stack.

Where failing can only become more likely along a setting, the probability of failure at a value is
the probability that the edge lies before it. So the edge is where the probability passes one half,
and four edges in five lie between a tenth and nine tenths. The probabilities are forecast on a grid
and made monotone by pooling neighbours that are out of order.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from admin_core.report import Edge, Quantity
from admin_core.spec import Subject, TransformerSpec
from admin_core.verdict.failure_model import failure_model
from admin_core.verdict.forecast import Forecaster, patched

LEVEL = 0.5
TAIL = 0.1
"""Probability beyond either end of the interval."""

RATE_FACTORS = tuple(10 ** (exponent / 4) for exponent in range(-6, 7))
"""Learning rates that are tried, times the given one: from 1/32 to 32 of it."""

WARMUP_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Warm-ups that are tried, as shares of all steps."""

LARGEST_RATE = 1e6
"""That a spec can hold."""

LAYERS = (1, 2, 3, 4, 6, 8, 12, 18, 24)

PROBES = 2
"""Of each value."""

Probability = Callable[[float], float]


def find_edges(subject: Subject, forecaster: Forecaster) -> list[Edge]:
    """The edges of learning rate, warm-up and layers, PROBES probes for each value tried.

    Args:
        subject: within the calibrated range.
    """
    edges = [largest_rate(subject, forecaster), _shortest_warmup(subject, forecaster)]
    if isinstance(subject.model, TransformerSpec):
        edges.append(_deepest_stacks(subject, subject.model, forecaster))
    return edges


def largest_rate(subject: Subject, forecaster: Forecaster) -> Edge:
    """The edge of the peak learning rate, looked for among RATE_FACTORS times the given one.

    Args:
        subject: within the calibrated range.
    """
    given = subject.training.learning_rate
    tried = (given * factor for factor in RATE_FACTORS)
    failing = _failing(subject, forecaster, lambda rate: {"training": {"learning_rate": rate}})
    return edge(
        Quantity.LEARNING_RATE, given, [rate for rate in tried if rate <= LARGEST_RATE], failing
    )


def _shortest_warmup(subject: Subject, forecaster: Forecaster) -> Edge:
    """How short the warm-up may be."""
    given, steps = subject.training.warmup_steps, subject.training.steps
    longest = failure_model().calibrated["training.warmup_steps"].high
    shares = {round(share * steps) for share in WARMUP_SHARES}
    values = sorted({share for share in shares if share <= longest} | {given})
    failing = _failing(
        subject, forecaster, lambda warmup: {"training": {"warmup_steps": int(warmup)}}
    )
    return edge(Quantity.WARMUP_STEPS, given, values, failing, falling=True)


def _deepest_stacks(subject: Subject, model: TransformerSpec, forecaster: Forecaster) -> Edge:
    """How many layers all stacks may have, each as many as the other."""
    stacks = model.layers
    given = max(stacks.values())
    bounds = failure_model().calibrated["layers"]
    inside = {n for n in LAYERS if bounds.low <= n * len(stacks) <= bounds.high}
    failing = _failing(
        subject,
        forecaster,
        lambda layers: {"model": {f"{stack.value}_layers": int(layers) for stack in stacks}},
    )
    return edge(Quantity.LAYERS, given, sorted({*inside, given}), failing)


def _failing(
    subject: Subject, forecaster: Forecaster, patch_of: Callable[[float], dict[str, Any]]
) -> Probability:
    """The probability of failure as a function of one setting, which a patch puts at a value."""

    def failing(value: float) -> float:
        changed = patched(subject, patch_of(value))
        return forecaster.forecast(changed, probes=PROBES).failure_probability

    return failing


def edge(
    quantity: Quantity,
    given: float,
    values: Sequence[float],
    failing: Probability,
    *,
    falling: bool = False,
) -> Edge:
    """Where the probability of failure passes LEVEL.

    Args:
        given: the subject's own value.
        values: what is tried, ascending; a logarithmic scale is assumed above zero.
        failing: the probability of failure at a value.
        falling: whether more of the quantity makes failure less likely.
    """
    probabilities = [failing(value) for value in values]
    if falling:
        monotone = [1 - p for p in pooled([1 - p for p in probabilities])]
    else:
        # Below the best value more is better too, because too little does not train either.
        best = probabilities.index(min(probabilities))
        values, probabilities = values[best:], probabilities[best:]
        monotone = pooled(probabilities)
    low, stable, high = (
        crossing(values, monotone, level, falling=falling) for level in (TAIL, LEVEL, 1 - TAIL)
    )
    if falling:
        low, high = high, low
        none_is_stable = monotone[-1] >= LEVEL
    else:
        none_is_stable = monotone[0] >= LEVEL
    return Edge(
        quantity=quantity,
        given=given,
        stable=None if none_is_stable else stable,
        interval=None if none_is_stable else (low, high),
        level=LEVEL,
        searched=(values[0], values[-1]),
    )


def pooled(values: Sequence[float]) -> list[float]:
    """The ascending sequence nearest to `values` in squares: neighbours that are out of order are
    replaced by their mean (Ayer et al. 1955)."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        blocks.append((value, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (mean, count), (other, others) = blocks.pop(), blocks.pop()
            blocks.append(((mean * count + other * others) / (count + others), count + others))
    return [mean for mean, count in blocks for _ in range(count)]


def crossing(
    values: Sequence[float], monotone: Sequence[float], level: float, *, falling: bool = False
) -> float:
    """The value at which a monotone sequence passes `level`, between two values in proportion to
    their logarithms; the first or the last value where it does not pass it."""
    rising = not falling
    for i in range(1, len(values)):
        before, after = monotone[i - 1], monotone[i]
        passes = before < level <= after if rising else before >= level > after
        if passes:
            share = (level - before) / (after - before)
            low, high = math.log1p(_scaled(values, i - 1)), math.log1p(_scaled(values, i))
            return math.expm1(low + share * (high - low)) * _unit(values)
    starts_beyond = monotone[0] >= level if rising else monotone[0] < level
    return values[0] if starts_beyond else values[-1]


def _unit(values: Sequence[float]) -> float:
    """A scale far below all values but zero."""
    return min(value for value in values if value > 0) / 1e3


def _scaled(values: Sequence[float], i: int) -> float:
    return values[i] / _unit(values)

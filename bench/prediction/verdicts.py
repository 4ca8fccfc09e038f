"""What the shipped model of failure says of each configuration, from its stored features."""

from admin_core.verdict.failure_model import failure_model
from admin_core.verdict.features import FEATURES
from bench.prediction.rows import Row


def probability(row: Row) -> float:
    """Of failure, from the first probe."""
    return failure_model().probability([[row.features[feature.name][0] for feature in FEATURES]])

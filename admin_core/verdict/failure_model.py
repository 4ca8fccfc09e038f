"""The model of failure: from features to the probability that training diverges or stalls.

A sum of small regression trees, fitted to where the loss of real runs ended and kept as plain
numbers in `failure_model.json`, with where they come from:

    score         baseline + sum over trees of the value of the leaf that the features lead to
    probability   1 / (1 + exp(-(slope * mean score of the probes + offset)))

slope and offset calibrate one probe's score on runs of families that the trees had not seen.
`python -m bench.prediction.fit` makes the file.
"""

import itertools
import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from admin_core.verdict.features import FEATURES, Cause

FILE = Path(__file__).with_name("failure_model.json")


class Tree(BaseModel):
    """A binary tree in arrays; node 0 is the root, and a leaf's feature is -1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    """The left child takes what is at or below it."""
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[float, ...]
    """Of a leaf, what it adds to the score; of any other node, the mean of what is below it over
    the runs it was fitted to."""


class Range(BaseModel):
    """What the runs that the model was fitted to had between them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float


class FailureModel(BaseModel):
    """The file's content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provenance: dict[str, str | int]
    """The command, the versions, how many runs of how many families."""
    features: tuple[str, ...]
    baseline: float
    trees: tuple[Tree, ...]
    slope: float
    offset: float
    at_risk: float
    """The probability from which a configuration is no longer called stable."""
    unstable: float
    """The probability from which it is called unstable."""
    calibrated: dict[str, Range]
    """By the quantity's path in a spec."""

    def probability(self, probes: Sequence[Sequence[float]]) -> float:
        """That a run fails whose probes have these features."""
        return self._logistic(fmean(self.score(features) for features in probes))

    def score(self, features: Sequence[float]) -> float:
        """Before calibration: how clearly the run fails."""
        return self.baseline + sum(tree.value[_path(tree, features)[-1]] for tree in self.trees)

    def shares(self, probes: Sequence[Sequence[float]]) -> dict[Cause, float]:
        """What each cause adds to the log-odds; they sum to log-odds less the average run's.

        Each step down a tree changes the mean of what lies below; the change belongs to the
        feature that was asked (Saabas, 2014).
        """
        found = dict.fromkeys(Cause, 0.0)
        weight = self.slope / len(probes)
        for tree, features in itertools.product(self.trees, probes):
            path = _path(tree, features)
            for node, child in zip(path, path[1:], strict=False):
                cause = FEATURES[tree.feature[node]].cause
                found[cause] += weight * (tree.value[child] - tree.value[node])
        return found

    def decisive(self, features: Sequence[float], cause: Cause) -> tuple[int, float]:
        """The feature of a cause that changes the log-odds most, and the threshold at which it
        does."""
        changes: dict[tuple[int, float], float] = {}
        for tree in self.trees:
            path = _path(tree, features)
            for node, child in zip(path, path[1:], strict=False):
                if FEATURES[tree.feature[node]].cause is cause:
                    question = (tree.feature[node], tree.threshold[node])
                    change = abs(tree.value[child] - tree.value[node])
                    changes[question] = changes.get(question, 0.0) + change
        first = next(i for i, feature in enumerate(FEATURES) if feature.cause is cause)
        return max(changes, key=lambda question: changes[question], default=(first, 0.0))

    def probability_of_average_run(self, added: float) -> float:
        """Of a run that is as the average of those fitted to, but for `added` log-odds."""
        average = self.baseline + sum(tree.value[0] for tree in self.trees)
        return self._logistic(average + added / self.slope)

    def _logistic(self, score: float) -> float:
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, self.slope * score + self.offset))))


def _path(tree: Tree, features: Sequence[float]) -> list[int]:
    """The nodes from the root to the leaf."""
    path = [0]
    while tree.feature[path[-1]] >= 0:
        node = path[-1]
        goes_left = features[tree.feature[node]] <= tree.threshold[node]
        path.append(tree.left[node] if goes_left else tree.right[node])
    return path


@cache
def failure_model() -> FailureModel:
    """The one that this version comes with."""
    return FailureModel.model_validate(json.loads(FILE.read_text()))

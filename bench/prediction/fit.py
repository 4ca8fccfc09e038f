"""Fit the model of failure to the calibration families, and write it down.

    python -m bench.prediction.fit    # seconds; writes admin_core/verdict/failure_model.json

The number of trees, their depth and the rest were chosen by grouped cross-validation within the
calibration families; the test families are not looked at here.
"""

import json
import math
from importlib.metadata import version
from typing import Any

import numpy as np
import sklearn
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from admin_core.spec import Subject
from admin_core.training.outcomes import STALLED_SHARE
from admin_core.verdict.failure_model import FILE
from admin_core.verdict.features import FEATURES
from admin_core.verdict.forecast import quantities
from bench.prediction.features import PROBES
from bench.prediction.rows import Row, rows

FOLDS = 17
SEED = 0
NAMES = [feature.name for feature in FEATURES]

MISSED_FAILURE_COSTS = 20
"""Of a failure that is called stable, in false alarms: a night of a cluster against a look at a
report."""
WRONG_STOP_COSTS = 1
"""Of a run that would have trained and is called unstable, against a failure called at risk."""


BLUR = 0.08
"""Of the unigram loss: about how far two runs lie apart that are told apart for certain."""


def boosted() -> Any:
    """The untrained model."""
    return HistGradientBoostingRegressor(
        max_iter=300,
        learning_rate=0.05,
        max_depth=5,
        max_features=0.25,
        min_samples_leaf=6,
        l2_regularization=2.0,
        monotonic_cst=[feature.monotone for feature in FEATURES],
        early_stopping=False,
        random_state=SEED,
    )


def matrix(chosen: list[Row]) -> tuple[Any, Any, Any]:
    """Features, failures and families of all probes of some rows, one after the other."""
    probes = [[[row.features[name][i] for name in NAMES] for i in range(PROBES)] for row in chosen]
    x = np.array(probes).reshape(-1, len(NAMES))
    y = np.array([row.failed for row in chosen]).repeat(PROBES)
    return x, y, np.array([row.family for row in chosen]).repeat(PROBES)


def clearness(chosen: list[Row]) -> Any:
    """How clearly the run of each probe failed, from -1 to 1: what the trees are fitted to.

    A third of the runs end within a tenth of the loss that parts trained from stalled. A run just
    above it has little more to teach than one just below, and less than one that never moved.
    """
    share = np.array([row.final_share for row in chosen])
    return np.tanh((share - STALLED_SHARE) / BLUR).repeat(PROBES)


def scores_of_unseen_families(x: Any, clear: Any, families: Any) -> Any:
    """Each probe's score by a model that has not seen its family."""
    scores = np.zeros(len(clear))
    folds = GroupKFold(FOLDS, shuffle=True, random_state=SEED)
    for seen, unseen in folds.split(x, clear, families):
        scores[unseen] = boosted().fit(x[seen], clear[seen]).predict(x[unseen])
    return scores


def trees_of(model: Any) -> list[dict[str, Any]]:
    """The fitted trees in plain arrays."""
    trees = []
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        trees.append(
            {
                "feature": [-1 if n["is_leaf"] else int(n["feature_idx"]) for n in nodes],
                "threshold": [0.0 if n["is_leaf"] else _plain(n["num_threshold"]) for n in nodes],
                "left": [int(n["left"]) for n in nodes],
                "right": [int(n["right"]) for n in nodes],
                "value": _means(nodes),
            }
        )
    return trees


def _plain(threshold: float) -> float:
    return float(min(1e6, max(-1e6, threshold)))


def _means(nodes: Any) -> list[float]:
    """Values of the leaves, and of every other node the mean of the leaves below it by their
    number of runs."""
    values = [float(n["value"]) for n in nodes]
    for i in reversed(range(len(nodes))):
        if not nodes[i]["is_leaf"]:
            children = (int(nodes[i]["left"]), int(nodes[i]["right"]))
            counts = [int(nodes[child]["count"]) for child in children]
            values[i] = sum(
                count * values[child] for count, child in zip(counts, children, strict=True)
            ) / sum(counts)
    return values


def cut_offs(probabilities: Any, failed: Any) -> tuple[float, float]:
    """From where `at_risk` and `unstable` cost less than the milder word."""
    candidates = np.unique(np.round(np.concatenate([probabilities, [0.02, 0.5]]), 3))
    missed = [MISSED_FAILURE_COSTS * (failed & (probabilities < c)).sum() for c in candidates]
    alarms = [(~failed & (probabilities >= c)).sum() for c in candidates]
    at_risk = candidates[int(np.argmin(np.add(missed, alarms)))]
    return float(min(at_risk, 0.5)), WRONG_STOP_COSTS / (1 + WRONG_STOP_COSTS)


def main() -> None:
    chosen = [row for row in rows() if row.split == "calibration"]
    x, y, families = matrix(chosen)
    clear = clearness(chosen)
    unseen = scores_of_unseen_families(x, clear, families)
    platt = LogisticRegression(C=1e6).fit(unseen[:, None], y)
    slope, offset = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    probabilities = 1 / (1 + np.exp(-(slope * unseen + offset)))
    at_risk, unstable = cut_offs(probabilities, y)
    model = boosted().fit(x, clear)
    FILE.write_text(
        json.dumps(
            {
                "provenance": {
                    "command": "python -m bench.prediction.fit",
                    "trimtab": version("trimtab"),
                    "scikit_learn": sklearn.__version__,
                    "runs": len(chosen),
                    "failures": sum(row.failed for row in chosen),
                    "probes": len(x),
                    "families": len(set(families)),
                },
                "features": NAMES,
                "baseline": float(np.ravel(model._baseline_prediction)[0]),
                "trees": trees_of(model),
                "slope": slope,
                "offset": offset,
                "at_risk": at_risk,
                "unstable": unstable,
                "calibrated": calibrated(chosen),
            }
        )
        + "\n"
    )
    loss = -np.mean(np.log(np.where(y, probabilities, 1 - probabilities)))
    print(f"{len(chosen)} runs, {len(x)} probes, {len(set(families))} families")
    print(f"unseen families: log loss {loss:.3f}, base {base_loss(y):.3f}")
    print(f"at risk from {at_risk:.3f}, unstable from {unstable:.3f}")


def base_loss(y: Any) -> float:
    p = y.mean()
    return float(-(p * math.log(p) + (1 - p) * math.log(1 - p)))


def calibrated(chosen: list[Row]) -> dict[str, dict[str, float]]:
    """What lies between the least and the greatest value of each quantity."""
    every = [quantities(Subject.model_validate(row.spec)) for row in chosen]
    return {
        name: {"low": min(q[name] for q in every), "high": max(q[name] for q in every)}
        for name in every[0]
    }


if __name__ == "__main__":
    main()

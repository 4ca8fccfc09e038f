"""Measure the features of every configuration whose outcome is known.

    python -m bench.prediction.features    # about two seconds a configuration, on one core

The probe's model has other weights than the run's: its seed is the run's plus SEED_OFFSET, because
the one who asks for a verdict will not train with the very weights that were probed. Each is probed
twice, so that the model of failure is not fitted to what chance did in one probe.
"""

import json
from pathlib import Path
from typing import Any

import torch

from admin_core.race_spec import RunSpec
from admin_core.verdict.examination import examine
from admin_core.verdict.features import FEATURES
from bench.prediction.outcomes import stored

MEASURED = Path(__file__).parent / "data" / "features.jsonl"
SEED_OFFSET = 100_000
PROBES = 2
"""Of each configuration; the next one has a seed that is SEED_OFFSET higher."""


def measured(row: dict[str, Any]) -> dict[str, Any]:
    """The features of one outcome's configuration, of each probe."""
    run = RunSpec.model_validate({"name": "probe", **row["spec"]})
    seeds = [row["seed"] + SEED_OFFSET * probe for probe in range(1, PROBES + 1)]
    found = [examine(run, seed=seed, device=torch.device("cpu")).features for seed in seeds]
    return {
        "family": row["family"],
        "number": row["number"],
        "features": {
            feature.name: [round(value, 4) for value in values]
            for feature, *values in zip(FEATURES, *found, strict=True)
        },
    }


def main() -> None:
    torch.set_num_threads(1)
    done = {(row["family"], row["number"]) for row in stored(MEASURED)}
    for row in stored():
        if (row["family"], row["number"]) in done:
            continue
        with MEASURED.open("a") as file:
            file.write(json.dumps(measured(row)) + "\n")


if __name__ == "__main__":
    main()

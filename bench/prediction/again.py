"""How well a run foretells itself: every test configuration once more, with another seed.

    python -m bench.prediction.again    # seconds to a minute a configuration, on one core

A run near the edge fails with one seed and trains with another. Whoever had trained the very same
configuration to its end would rank the failures as well as this, and no forecast can be expected to
do better.
"""

import json
from pathlib import Path

import torch

from admin_core.race_spec import RunSpec
from admin_core.training.arm import train_arm
from bench.prediction.families import is_tested
from bench.prediction.features import SEED_OFFSET
from bench.prediction.outcomes import stored

AGAIN = Path(__file__).parent / "data" / "again.jsonl"


def main() -> None:
    torch.set_num_threads(1)
    done = {(row["family"], row["number"]) for row in stored(AGAIN)}
    for row in stored():
        if not is_tested(row["family"]) or (row["family"], row["number"]) in done:
            continue
        run = RunSpec.model_validate({"name": "again", **row["spec"]})
        result = train_arm(run, seed=row["seed"] + SEED_OFFSET)
        line = {
            "family": row["family"],
            "number": row["number"],
            "outcome": result.outcome.value,
            "final_loss": result.final_loss,
            "unigram_loss": round(result.unigram_loss, 4),
        }
        with AGAIN.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()

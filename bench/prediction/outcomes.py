"""Train every configuration and keep what became of it.

    python -m bench.prediction.outcomes --rounds 24    # seconds to a minute a run, on one core

Rounds go through all families, so that a campaign that is cut short is still balanced. Runs that
are in the file are not repeated, so that one that was cut short goes on.
"""

import argparse
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from admin_core.training.arm import train_arm
from bench.prediction.draw import draw
from bench.prediction.families import FAMILIES

OUTCOMES = Path(__file__).parent / "data" / "outcomes.jsonl"
CURVE_POINTS = 20


def run(family: str, number: int) -> dict[str, Any]:
    """One row: the configuration, what became of it and how long it took."""
    spec, seed = draw(family, number)
    started = time.perf_counter()
    result = train_arm(spec, seed=seed)
    losses = result.losses
    stride = max(1, len(losses) // CURVE_POINTS)
    return {
        "family": family,
        "number": number,
        "spec": spec.model_dump(mode="json", include={"model", "training", "data"}),
        "seed": seed,
        "outcome": result.outcome.value,
        "diverged_at_step": result.diverged_at_step,
        "first_loss": losses[0] if losses else None,
        "final_loss": result.final_loss,
        "unigram_loss": round(result.unigram_loss, 4),
        "curve": [round(loss, 3) for loss in losses[::stride]],
        "seconds": round(time.perf_counter() - started, 2),
        "versions": {
            "trimtab": version("trimtab"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def stored(path: Path = OUTCOMES) -> list[dict[str, Any]]:
    """All rows of the file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--rounds", type=int, default=24, help="number to end before, in each family"
    )
    parser.add_argument("--first", type=int, default=0, help="number to begin with")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # so small that a second thread only waits
    done = {(row["family"], row["number"]) for row in stored()}
    OUTCOMES.parent.mkdir(exist_ok=True)
    for number in range(arguments.first, arguments.rounds):
        for family in FAMILIES:
            if (family, number) in done:
                continue
            row = run(family, number)
            with OUTCOMES.open("a") as file:
                file.write(json.dumps(row) + "\n")
            training = row["spec"]["training"]
            print(
                f"{family}/{number}: {row['outcome']}, "
                f"learning rate {training['learning_rate']:g}, {row['seconds']:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""Train the calibration's further configurations where the verdict is in doubt.

    python -m bench.prediction.in_doubt --first 113 --rounds 123    # half a minute each

A run whose fate the model of failure is sure of teaches it little. So each configuration is probed
first, and trained where its probability of failure lies between LOW and HIGH. What is chosen by
features alone leaves what the features say of failure as it is.
"""

import argparse
import json

import torch

from admin_core.verdict.forecast import Forecaster
from bench.prediction.draw import draw
from bench.prediction.families import FAMILIES, is_tested
from bench.prediction.features import SEED_OFFSET
from bench.prediction.outcomes import OUTCOMES, run, stored

LOW, HIGH = 0.1, 0.9


def in_doubt(family: str, number: int) -> bool:
    """Whether the shipped model of failure, asked with one probe, is sure of neither fate."""
    spec, seed = draw(family, number)
    forecaster = Forecaster(seed=seed + SEED_OFFSET, device=torch.device("cpu"))
    return LOW < forecaster.forecast(spec).failure_probability < HIGH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--first", type=int, required=True, help="number to begin with")
    parser.add_argument("--rounds", type=int, required=True, help="number to end before")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    done = {(row["family"], row["number"]) for row in stored()}
    for number in range(arguments.first, arguments.rounds):
        for family in FAMILIES:
            known = is_tested(family) or (family, number) in done
            if known or not in_doubt(family, number):
                continue
            row = run(family, number)
            with OUTCOMES.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{family}/{number}: {row['outcome']}, {row['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()

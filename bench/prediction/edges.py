"""The largest stable learning rate as forecast, against the one that real runs have.

    python -m bench.prediction.edges --models 20    # about half a minute a model, on one core

Models are drawn from the test families, with numbers that no run of the benchmark has. The real
edge is bisected: a run trains or fails at a rate, and the bracket halves in the logarithm.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import torch

from admin_core.race_report import RaceOutcome
from admin_core.race_spec import RunSpec
from admin_core.training.arm import train_arm
from admin_core.verdict.edges import largest_rate
from admin_core.verdict.forecast import Forecaster, quantities
from bench.prediction.draw import draw
from bench.prediction.families import FAMILIES
from bench.prediction.features import SEED_OFFSET
from bench.prediction.outcomes import stored

FOUND = Path(__file__).parent / "data" / "edges.jsonl"
FIRST_NUMBER = 1_000
MAX_STATES = 3 * 16 * 32 * 64
MAX_STEPS = 300
BRACKET = (2e-4, 2e-1)
HALVINGS = 6
START = 3e-3


def failed(run: RunSpec, seed: int) -> bool:
    """Whether the run diverges or stalls."""
    outcome = train_arm(run, seed=seed).outcome
    return outcome in (RaceOutcome.DIVERGED, RaceOutcome.STALLED)


def with_rate(run: RunSpec, rate: float) -> RunSpec:
    training = run.training.model_copy(update={"learning_rate": rate})
    return run.model_copy(update={"training": training})


def bisected(run: RunSpec, seed: int) -> float | None:
    """The largest rate at which the run trains, within a factor of 1.12; None where it does not
    train at START, or trains wherever it is tried."""
    if failed(with_rate(run, START), seed):
        return None
    low, high = START, BRACKET[1]
    if not failed(with_rate(run, high), seed):
        return None
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        if failed(with_rate(run, middle), seed):
            high = middle
        else:
            low = middle
    return math.sqrt(low * high)


def foretold(run: RunSpec, seed: int) -> dict[str, Any]:
    """The edge as a verdict gives it."""
    forecaster = Forecaster(seed=seed, device=torch.device("cpu"))
    return largest_rate(run, forecaster).model_dump(mode="json")


def small_enough(run: RunSpec) -> bool:
    if run.training.steps > MAX_STEPS:
        return False
    tokens = run.training.batch_size * run.training.sequence_length
    found = quantities(run)
    return tokens * found["layers"] * found["model.d_model"] <= MAX_STATES


def main() -> None:
    parser = argparse.ArgumentParser(description="Forecast edges against bisected ones.")
    parser.add_argument("--models", type=int, default=20)
    wanted = parser.parse_args().models
    torch.set_num_threads(1)
    done = {(row["family"], row["number"]) for row in stored(FOUND)}
    usable = sum(row["bisected"] is not None for row in stored(FOUND))
    tests = [name for name, family in FAMILIES.items() if family.split == "test"]
    number = FIRST_NUMBER
    while usable < wanted:
        for family in tests:
            run, seed = draw(family, number)
            skip = (family, number) in done or run.training.optimizer == "sgd"
            if skip or usable >= wanted or not small_enough(run):
                continue
            started = time.perf_counter()
            row = {"family": family, "number": number, "bisected": bisected(run, seed)}
            row["seconds"] = round(time.perf_counter() - started, 2)
            if row["bisected"] is not None:
                usable += 1
                started = time.perf_counter()
                row["forecast"] = foretold(with_rate(run, START), seed + SEED_OFFSET)
                row["forecast_seconds"] = round(time.perf_counter() - started, 2)
            with FOUND.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
        number += 1


if __name__ == "__main__":
    main()

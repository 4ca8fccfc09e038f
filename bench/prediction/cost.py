"""What a probe costs beside the run that it foretells, in processor time of one core.

    python -m bench.prediction.cost --configurations 12    # seconds to a minute each

Both are measured in one process, the probe before and after the run and by the median, so that a
busy machine slows neither more than the other.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from admin_core.race_spec import RunSpec
from admin_core.training.arm import train_arm
from admin_core.verdict.examination import examine
from bench.prediction.families import FAMILIES
from bench.prediction.outcomes import stored

PROBES = 2
"""Before the run, and as many after it."""

COSTS = Path(__file__).parent / "data" / "costs.jsonl"


def processor_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description="The cost of a probe beside its run.")
    parser.add_argument("--configurations", type=int, default=12)
    wanted = parser.parse_args().configurations
    torch.set_num_threads(1)
    tested = [row for row in stored() if FAMILIES[row["family"]].split == "test"]
    for row in tested[:wanted]:
        run = RunSpec.model_validate({"name": "cost", **row["spec"]})

        def probe(run: RunSpec = run) -> object:
            return examine(run, seed=0, device=torch.device("cpu"))

        probe()  # what is loaded and built only once
        before = [processor_seconds(probe) for _ in range(PROBES)]
        training = processor_seconds(lambda run=run: train_arm(run, seed=0))  # type: ignore[misc]
        after = [processor_seconds(probe) for _ in range(PROBES)]
        probing = median(before + after)
        line = {
            "family": row["family"],
            "number": row["number"],
            "probe_seconds": round(probing, 3),
            "run_seconds": round(training, 3),
        }
        with COSTS.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()

"""Whether the first prescription mends a configuration that failed.

    python -m bench.prediction.prescriptions --configurations 30    # about half a minute each

Configurations of the test families whose run failed and whose verdict is unstable, in the order of
the benchmark. The prescribed configuration is trained with the failed run's own seed.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from admin_core.race_report import RaceOutcome
from admin_core.race_spec import RunSpec
from admin_core.report import Outcome
from admin_core.training.arm import train_arm
from admin_core.verdict.forecast import Forecaster, patched
from admin_core.verdict.prescriptions import prescribe
from admin_core.verdict.reasons import outcome_of
from bench.prediction.families import is_tested
from bench.prediction.features import SEED_OFFSET
from bench.prediction.outcomes import stored
from bench.prediction.rows import Row, rows
from bench.prediction.verdicts import probability

TRIED = Path(__file__).parent / "data" / "prescriptions.jsonl"


def tried(row: Row) -> dict[str, Any]:
    """What is prescribed for a configuration, and what became of it."""
    started = time.perf_counter()
    run = RunSpec.model_validate({"name": "patient", **row.spec})
    forecaster = Forecaster(seed=row.number + SEED_OFFSET, device=torch.device("cpu"))
    found = prescribe(run, forecaster)
    result = None
    if found:
        mended = patched(run, found[0].patch)
        again = run.model_copy(update={"model": mended.model, "training": mended.training})
        result = train_arm(again, seed=row.number)
    return {
        "family": row.family,
        "number": row.number,
        "change": found[0].change if found else None,
        "patch": found[0].patch if found else None,
        "failure_probability": found[0].failure_probability if found else None,
        "outcome": result.outcome.value if result else None,
        "trains": result is not None
        and result.outcome in (RaceOutcome.CONVERGED, RaceOutcome.SPIKED),
        "seconds": round(time.perf_counter() - started, 2),
    }


def unstable() -> list[Row]:
    """The test configurations whose run failed and whose verdict says so."""
    failed = [row for row in rows() if is_tested(row.family) and row.failed]
    return [row for row in failed if outcome_of(probability(row)) is Outcome.UNSTABLE]


def main() -> None:
    parser = argparse.ArgumentParser(description="Try the first prescriptions of failed runs.")
    parser.add_argument("--configurations", type=int, default=30)
    wanted = parser.parse_args().configurations
    torch.set_num_threads(1)
    done = {(row["family"], row["number"]) for row in stored(TRIED)}
    for row in unstable()[:wanted]:
        if (row.family, row.number) in done:
            continue
        line = tried(row)
        with TRIED.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(line, flush=True)


if __name__ == "__main__":
    main()

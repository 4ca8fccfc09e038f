"""The ground of the first trial, on which the baselines in docs/verdict.md were first measured: how
well the verdict ranks it.

    python -m bench.prediction.trial    # twenty minutes, on one core

Decoders of width 64 on the embedded text, 16 x 32 bytes a batch, Adam, 200 steps: three schemes,
three depths and four rates, with a warm-up of 10 or of 100 steps in turns. None of these runs is in
the benchmark, though its families have many like them: this is what the calibration knows best.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import torch

from admin_core.race_spec import RunSpec
from admin_core.training.arm import train_arm
from admin_core.training.outcomes import STALLED_SHARE
from admin_core.verdict.examination import examine
from admin_core.verdict.failure_model import failure_model
from bench.prediction.features import SEED_OFFSET
from bench.prediction.measures import auroc, expected_calibration_error
from bench.prediction.outcomes import stored

FOUND = Path(__file__).parent / "data" / "trial.jsonl"
SEED = 7


def runs() -> Iterator[RunSpec]:
    """The grid, in an order in which each scheme and depth comes early."""
    warm_ups = itertools.cycle((10, 100))
    grid = itertools.product((3e-4, 1e-3, 3e-3, 1e-2), (4, 12, 24), ("post_ln", "pre_ln", "admin"))
    for (rate, layers, scheme), warm_up in zip(grid, warm_ups, strict=False):
        yield RunSpec.model_validate(
            {
                "name": f"{scheme}, {layers} layers, {rate:g} after {warm_up}",
                "model": {
                    "architecture": "decoder_only",
                    "decoder_layers": layers,
                    "d_model": 64,
                    "num_heads": 2,
                    "scheme": scheme,
                },
                "training": {
                    "learning_rate": rate,
                    "warmup_steps": warm_up,
                    "schedule": "constant",
                    "steps": 200,
                    "batch_size": 16,
                    "sequence_length": 32,
                },
                "validation": {"every": 200, "batches": 1},
                "monitoring": {"every": 0},
            }
        )


def main() -> None:
    torch.set_num_threads(1)
    found = {row["name"]: row for row in stored(FOUND)}
    for run in runs():
        if run.name in found:
            continue
        result = train_arm(run, seed=SEED)
        probed = examine(run, seed=SEED + SEED_OFFSET, device=torch.device("cpu"))
        loss = result.final_loss
        row = {
            "name": run.name,
            "final_share": None if loss is None else round(loss / result.unigram_loss, 4),
            "outcome": result.outcome.value,
            "features": [round(feature, 4) for feature in probed.features],
        }
        found[run.name] = row
        with FOUND.open("a") as file:
            file.write(json.dumps(row) + "\n")
    rows = list(found.values())
    failed = [row["final_share"] is None or row["final_share"] >= STALLED_SHARE for row in rows]
    foretold = [failure_model().probability([row["features"]]) for row in rows]
    for p, row in sorted(zip(foretold, rows, strict=True), key=lambda pair: pair[0]):
        print(f"{p:.2f}  {row['final_share']}  {row['name']}")
    print(
        f"{len(rows)} runs, {sum(failed)} failures: AUROC {auroc(foretold, failed)}, calibration "
        f"error {expected_calibration_error(foretold, failed):.3f}"
    )


if __name__ == "__main__":
    main()

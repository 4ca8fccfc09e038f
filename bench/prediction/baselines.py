"""What the paper's own measure says of the test configurations: the output change.

    python -m bench.prediction.baselines    # about two seconds a configuration, on one core

One step of the optimizer at the peak learning rate, and the growth of a random step over the depth
that the verdict falls back on outside its calibrated range.
"""

import json
from pathlib import Path
from typing import Any

import torch

from admin_core.diagnosis import diagnose_spec
from admin_core.errors import AdminCoreError
from admin_core.spec import Analysis, DiagnosisSpec
from admin_core.verdict import rules
from bench.prediction.families import is_tested
from bench.prediction.features import SEED_OFFSET
from bench.prediction.outcomes import stored

MEASURED = Path(__file__).parent / "data" / "baselines.jsonl"


def measured(row: dict[str, Any]) -> dict[str, Any]:
    """The largest output change under an optimizer step, per feature, and the growth verdict."""
    spec = DiagnosisSpec.model_validate(
        {
            **row["spec"],
            "seed": row["seed"] + SEED_OFFSET,
            "analyses": [Analysis.AMPLIFICATION],
            "amplification": {"draws": 1},
        }
    )
    found: dict[str, Any] = {"family": row["family"], "number": row["number"]}
    try:
        report = diagnose_spec(spec)
    except AdminCoreError:
        return found | {"update": None, "growth": None}  # ReZero's branches are all zero at first
    section = report.amplification
    assert section is not None
    widths = {stack: 2 * row["spec"]["model"].get("d_model", 1) for stack in section.update}
    growths = [
        random.depths[-1] ** rules.steadied_slope(random) for random in section.random.values()
    ]
    update = max(
        change.output_change[-1] / widths[stack] for stack, change in section.update.items()
    )
    return found | {"update": update, "growth": max(growths)}


def main() -> None:
    torch.set_num_threads(1)
    done = {(row["family"], row["number"]) for row in stored(MEASURED)}
    for row in stored():
        if is_tested(row["family"]) and (row["family"], row["number"]) not in done:
            with MEASURED.open("a") as file:
                file.write(json.dumps(measured(row)) + "\n")


if __name__ == "__main__":
    main()

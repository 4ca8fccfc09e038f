"""The paper's corollaries, measured: log-log slopes of the output change over 200 sub-layers.

    python -m bench.amplification_slopes     # half an hour on one core; adds missing rows only

An encoder of 100 layers with fresh weights; heads of 64 features, a feed-forward of 4 d_model, 4
sequences of 64 tokens, dropout off; Admin's omegas by the clinic convention. The slope is what a
diagnosis reports as `amplification.random.encoder.slope`: a random sign step of 1e-4, three draws,
fitted from the second sub-layer to the last. Width, data and scheme are all that differs.

The theorem's variance is an expectation over weights, so that the curve to judge is the mean over
seeds; the mean of the seeds' own slopes stands beside it. docs/amplification.md holds the table.
One JSON object a line in bench/results/amplification_slopes.jsonl.
"""

import itertools
import json
from pathlib import Path
from statistics import mean
from typing import Any

from admin_core.analysis.amplification import random_output_change, states
from admin_core.analysis.growth import Growth, growth
from admin_core.analysis.omega import apply_omegas
from admin_core.analysis.profiling import profile
from admin_core.data.batches import make_batch
from admin_core.models.transformer import build_transformer
from admin_core.report import OutputChange
from admin_core.residual import residual_branches
from admin_core.spec import DiagnosisSpec, Scheme, Stack, TransformerSpec

RESULTS = Path(__file__).parent / "results" / "amplification_slopes.jsonl"
WIDTHS = (64, 128, 256, 512)
SEEDS = range(5)
SCHEMES = ("post_ln", "pre_ln", "admin")
DATA: dict[str, dict[str, str]] = {
    "uniform": {"kind": "synthetic", "name": "uniform"},
    "text": {"kind": "text", "name": "pydoc"},
}


def output_change(data: str, width: int, scheme: str, seed: int) -> OutputChange:
    """Of the encoder, under the random step."""
    spec = DiagnosisSpec.model_validate(
        {
            "model": {
                "architecture": "encoder_only",
                "encoder_layers": 100,
                "d_model": width,
                "num_heads": width // 64,
                "vocab_size": 8192,
                "scheme": scheme,
            },
            "data": DATA[data],
            "seed": seed,
        }
    )
    assert isinstance(spec.model, TransformerSpec)
    model = build_transformer(spec.model, seed=seed)
    branches = residual_branches(model)
    batch = make_batch(spec.data, spec.model, batch_size=4, sequence_length=64, seed=seed)
    if spec.model.scheme is Scheme.ADMIN:
        apply_omegas(profile(model, branches, batch, admin_stacks=[Stack.ENCODER], seed=seed))
    before = states(model, branches, batch)
    return random_output_change(
        model, branches, batch, before, draws=spec.amplification.draws, seed=seed
    )[Stack.ENCODER]


def measure(data: str, width: int, scheme: str, seed: int) -> dict[str, Any]:
    """One row."""
    found = output_change(data, width, scheme, seed)
    return {
        "data": data,
        "width": width,
        "scheme": scheme,
        "seed": seed,
        "slope": found.slope,
        "slope_interval": found.slope_interval,
        "predicted_slope": found.predicted_slope,
        "predicted_constant": found.predicted_constant,
        "output_change": [float(f"{change:.4g}") for change in found.output_change],
    }


def pooled_growth(of_cell: list[dict[str, Any]]) -> Growth:
    """Of the mean curve over the rows of several seeds."""
    curves = zip(*(row["output_change"] for row in of_cell), strict=True)
    mean_curve = [mean(changes) for changes in curves]
    pooled = growth(range(1, len(mean_curve) + 1), mean_curve)
    assert pooled is not None, "200 depths have a slope"
    return pooled


def main() -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    rows = []
    if RESULTS.exists():
        rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    done = {(row["data"], row["width"], row["scheme"], row["seed"]) for row in rows}
    for key in itertools.product(DATA, WIDTHS, SCHEMES, SEEDS):
        if key in done:
            continue
        rows.append(measure(*key))
        with RESULTS.open("a") as results:
            results.write(json.dumps(rows[-1]) + "\n")
    print("| data | width | scheme | slope of the mean | mean slope | seeds from, to | theory |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for cell in itertools.product(DATA, WIDTHS, SCHEMES):
        of_cell = [row for row in rows if (row["data"], row["width"], row["scheme"]) == cell]
        pooled = pooled_growth(of_cell)
        slopes = [row["slope"] for row in of_cell]
        theory = mean(row["predicted_slope"] for row in of_cell)
        data, width, scheme = cell
        print(
            f"| {data} | {width} | {scheme} | {pooled.slope:.2f} | {mean(slopes):.2f} "
            f"| {min(slopes):.2f}, {max(slopes):.2f} | {theory:.2f} |"
        )


if __name__ == "__main__":
    main()

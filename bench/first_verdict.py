"""The trial behind the first verdict's thresholds: what each rule measures, and what training did.

    python -m bench.first_verdict    # a minute; 15 without bench/results/first_verdict.jsonl

Models of width 64 with 2 heads on the embedded text, 16 x 32 bytes a batch, Adam with betas 0.9 and
0.98, 50 warm-up steps, then a constant rate, 250 steps in all, seed 0. The file holds what training
did; the rules are measured anew at each run, and the table sorts by growth.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from admin_core.analysis.omega import apply_omegas
from admin_core.analysis.profiling import profile
from admin_core.applicability import TAKES_OMEGAS
from admin_core.data.batches import make_batch
from admin_core.diagnosis import diagnose_spec
from admin_core.models.transformer import build_transformer
from admin_core.residual import residual_branches
from admin_core.seeds import ambient
from admin_core.spec import DiagnosisSpec, TransformerSpec
from admin_core.training.loss import batch_loss
from admin_core.training.optimizers import make_optimizer
from admin_core.verdict.rules import judge

RESULTS = Path(__file__).parent / "results" / "first_verdict.jsonl"
STEPS, WARMUP = 250, 50


def specs() -> Iterator[DiagnosisSpec]:
    """The grid: architecture, layers, scheme, learning rate."""
    schemes = ("post_ln", "pre_ln", "admin")
    decoders = itertools.product(["decoder_only"], (6, 12, 18, 24), schemes, (1e-3, 3e-3))
    others = itertools.product(["encoder_decoder"], (6, 12, 18), schemes, (1e-3,))
    for architecture, layers, scheme, learning_rate in itertools.chain(decoders, others):
        model = {
            "architecture": architecture,
            "decoder_layers": layers,
            "d_model": 64,
            "num_heads": 2,
            "scheme": scheme,
        }
        if architecture == "encoder_decoder":
            model["encoder_layers"] = layers
        training = {
            "learning_rate": learning_rate,
            "warmup_steps": WARMUP,
            "schedule": "constant",
            "steps": STEPS,
            "batch_size": 16,
            "sequence_length": 32,
        }
        request = {"model": model, "training": training, "analyses": ["amplification"]}
        yield DiagnosisSpec.model_validate(request)


def train(spec: DiagnosisSpec) -> list[float]:
    """The loss of each step, in nats."""
    transformer = spec.model
    assert isinstance(transformer, TransformerSpec)
    model = build_transformer(transformer, seed=spec.seed)
    training = spec.training

    def batch_of(step: int) -> Any:
        return make_batch(
            spec.data,
            transformer,
            batch_size=training.batch_size,
            sequence_length=training.sequence_length,
            seed=spec.seed,
            step=step,
        )

    stacks = [s for s in transformer.layers if transformer.scheme_of(s) in TAKES_OMEGAS]
    branches = residual_branches(model)
    apply_omegas(profile(model, branches, batch_of(0), admin_stacks=stacks, seed=spec.seed))
    optimizer = make_optimizer(model, training)
    model.train()
    losses = []
    device = next(model.parameters()).device
    with ambient(spec.seed, "training", device):
        for step in range(training.steps):
            for group in optimizer.param_groups:
                group["lr"] = training.learning_rate * min(1, (step + 1) / training.warmup_steps)
            loss = batch_loss(model, batch_of(step + 1))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(round(loss.item(), 4))
    return losses


def trained(spec: DiagnosisSpec) -> dict[str, Any]:
    """One configuration, and the loss of the first step and of the last 20 steps in the mean."""
    losses = train(spec)
    return key_of(spec) | {
        "first_loss": losses[0],
        "last_loss": round(sum(losses[-20:]) / 20, 4),
    }


def key_of(spec: DiagnosisSpec) -> dict[str, Any]:
    assert isinstance(spec.model, TransformerSpec)
    return {
        "architecture": str(spec.model.architecture),
        "layers": spec.model.decoder_layers,
        "scheme": str(spec.model.scheme),
        "learning_rate": spec.training.learning_rate,
    }


def main() -> None:
    rows = (
        [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    )
    table = []
    for spec in specs():
        key = key_of(spec)
        row = next((row for row in rows if key.items() <= row.items()), None)
        if row is None:
            row = trained(spec)
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
        amplification = diagnose_spec(spec).amplification
        assert amplification is not None
        verdict = judge(amplification, d_model=64)
        growth = max(r.measured for r in verdict.reasons if r.rule == "amplification")
        update = max(r.measured for r in verdict.reasons if r.rule == "update")
        table.append((growth, update, row["last_loss"], verdict.outcome, *key.values()))
    print("growth  update share  last loss  verdict   configuration")
    for growth, update, loss, outcome, *configuration in sorted(table):
        print(f"{growth:6.1f}  {update:12.2f}  {loss:9.3f}  {outcome:8}  ", *configuration)


if __name__ == "__main__":
    main()

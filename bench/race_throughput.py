"""What a race costs: tokens per second of an arm, monitors on, against a minimal PyTorch loop.

    python -m bench.race_throughput                     # CPU, about two minutes
    python -m bench.race_throughput --device cuda:0 --autocast bf16 --d-model 1024

Both train the same model on the same batches in the same process and read every loss. An arm looks
at its gradients, updates and activations every 50 steps, as races do by default. The order of a
turn is arm, loop, loop, arm, so that a machine that gets slower or faster favours neither; the
median of the turns' ratios is shown with the spread. The aim is 0.95.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

from admin_core.data.batches import make_batch
from admin_core.data.text import Split
from admin_core.models.transformer import build_transformer
from admin_core.race_spec import RaceSpec, RunSpec
from admin_core.spec import TransformerSpec
from admin_core.training.arm import train_arm


def minimal_loop(run: RunSpec, device: torch.device) -> float:
    """Tokens per second of the loop that anybody would write by hand."""
    transformer = run.model
    assert isinstance(transformer, TransformerSpec)
    model = build_transformer(transformer, seed=0, device=device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98))
    model.train()
    losses = []
    start = time.perf_counter()
    for step in range(run.training.steps):
        batch = make_batch(
            run.data,
            transformer,
            batch_size=run.training.batch_size,
            sequence_length=run.training.sequence_length,
            seed=0,
            step=step,
            split=Split.TRAINING,
        ).to(device)
        with torch.autocast(
            device.type, torch.bfloat16, enabled=run.training.autocast.value == "bf16"
        ):
            logits = model(**batch.inputs)
        loss = F.cross_entropy(logits.float().flatten(0, 1), batch.targets.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    seconds = time.perf_counter() - start
    return len(losses) * batch.targets.numel() / seconds


def arm(run: RunSpec, device: torch.device) -> float:
    """Tokens per second of the same training as an arm of a race, from the end of its first step
    to that of its last, one validation batch included."""
    moments: list[float] = []
    train_arm(
        run,
        seed=0,
        device=str(device),
        on_point=lambda point: moments.append(time.perf_counter()),
    )
    tokens = (len(moments) - 1) * run.training.batch_size * run.training.sequence_length
    return tokens / (moments[-1] - moments[0])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--autocast", default="none", choices=["none", "bf16"])
    arguments.add_argument("--layers", type=int, default=12)
    arguments.add_argument("--d-model", type=int, default=64)
    arguments.add_argument("--batch-size", type=int, default=16)
    arguments.add_argument("--sequence-length", type=int, default=32)
    arguments.add_argument("--steps", type=int, default=100)
    arguments.add_argument("--turns", type=int, default=5)
    given = arguments.parse_args()
    device = torch.device(given.device)
    run = RaceSpec.model_validate(
        {
            "model": {
                "architecture": "decoder_only",
                "decoder_layers": given.layers,
                "d_model": given.d_model,
                "num_heads": max(1, given.d_model // 32),
            },
            "training": {
                "steps": given.steps,
                "warmup_steps": 50,
                "schedule": "constant",
                "batch_size": given.batch_size,
                "sequence_length": given.sequence_length,
                "autocast": given.autocast,
            },
            "arms": ["pre_ln"],
            "validation": {"every": given.steps, "batches": 1},
        }
    ).run(0)
    ratios, ours, theirs = [], [], []
    for turn in range(given.turns):
        speeds = [contest(run, device) for contest in (arm, minimal_loop, minimal_loop, arm)]
        ours.append((speeds[0] + speeds[3]) / 2)
        theirs.append((speeds[1] + speeds[2]) / 2)
        ratios.append(ours[-1] / theirs[-1])
        print(f"turn {turn + 1}: {ours[-1]:,.0f} against {theirs[-1]:,.0f} tokens/s")
    print(
        json.dumps(
            {
                "arm_tokens_per_second": round(statistics.median(ours)),
                "minimal_tokens_per_second": round(statistics.median(theirs)),
                "ratio": round(statistics.median(ratios), 3),
                "spread": [round(min(ratios), 3), round(max(ratios), 3)],
                "turns": given.turns,
                "device": given.device,
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()

"""A BERT of 24 layers, untouched from Transformers, trained with and without Admin's omegas.

    python -m bench.bert24            trains, writes bench/results/bert24.jsonl, prints the table
    python -m bench.bert24 --figure   draws docs/figures/bert24.svg from that file

Both runs have the same weights, batches, dropout seeds, optimizer and loop, which is a user's own
and knows nothing of omegas; the second calls `discover`, `profile` and `apply_omega` before it. The
task is to tell the next byte of the Python documentation (`is_decoder`, for as many targets as
there are bytes). What a model loses that knows how frequent each byte is and nothing of its context
is printed with the curves.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, BertLMHeadModel

from admin_core.analysis.profiling import profile
from admin_core.data.batch import Batch
from admin_core.data.text import pydoc_tokens, windows
from admin_core.residual import discover
from admin_core.residual.omega import apply_omega
from bench.figures.look import GREEN, VERMILLION, Chart, Rows, colour, rounded, svg

RESULTS = Path(__file__).parent / "results" / "bert24.jsonl"
FIGURE = Path(__file__).parent.parent / "docs" / "figures" / "bert24.svg"

STEPS, WARMUP, BATCH, LENGTH = 300, 30, 16, 32
LEARNING_RATE = 1e-3

CONFIG = BertConfig(
    num_hidden_layers=24,
    hidden_size=64,
    num_attention_heads=2,
    intermediate_size=256,
    vocab_size=256,
    is_decoder=True,
    max_position_embeddings=LENGTH,
    initializer_range=(2 / (64 + 64)) ** 0.5,  # Xavier's, as in the paper; 0.02 is for width 768
)

NAMES = {"as it is": VERMILLION, "with apply_omega": GREEN}


def batches(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Sequences and the bytes that follow, without end."""
    generator = torch.Generator().manual_seed(seed)
    text = pydoc_tokens()
    while True:
        tokens = windows(text, count=BATCH, length=LENGTH + 1, generator=generator)
        yield tokens[:, :-1], tokens[:, 1:]


def train(model: nn.Module, seed: int) -> list[float]:
    """The loss of every step: an ordinary loop."""
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARMUP)
    )
    torch.manual_seed(seed)
    losses = []
    for _, (tokens, labels) in zip(range(STEPS), batches(seed), strict=False):
        logits = model(input_ids=tokens).logits
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def bert(seed: int) -> BertLMHeadModel:
    """Fresh weights."""
    torch.manual_seed(seed)
    return BertLMHeadModel(CONFIG)


def with_omegas(model: nn.Module, seed: int) -> list[float]:
    """Put Admin's omegas in, from one pass over one batch; returns them."""
    tokens, _ = next(batches(seed))
    branches = discover(model, {"input_ids": tokens}).branches
    stacks = {branch.stack for branch in branches}
    batch = Batch(inputs={"input_ids": tokens})
    found = profile(model, branches, batch, admin_stacks=stacks, seed=seed)
    omegas = [row.omega for row in found if row.omega is not None]
    apply_omega(branches, omegas)
    return omegas


def measure(seed: int = 0) -> list[dict[str, object]]:
    """Both runs."""
    rows: list[dict[str, object]] = []
    for name in NAMES:
        model = bert(seed)
        started = time.perf_counter()
        omegas = with_omegas(model, seed) if name == "with apply_omega" else []
        applied = time.perf_counter() - started
        losses = train(model, seed)
        seconds = time.perf_counter() - started
        rows.append(
            {
                "name": name,
                "omegas": [round(omega, 4) for omega in omegas],
                "seconds_to_apply": round(applied, 2),
                "seconds": round(seconds, 1),
                "losses": [round(loss, 4) for loss in losses],
            }
        )
    return rows


def unigram() -> float:
    """-sum_v p_v ln p_v of the bytes to find."""
    labels = torch.cat([own for _, (_, own) in zip(range(STEPS), batches(0), strict=False)])
    shares = torch.bincount(labels.flatten()).double() / labels.numel()
    return float(torch.special.entr(shares).sum())


def table(rows: Rows) -> Iterator[str]:
    """The lines of the table in Markdown."""
    yield "| | first 20 steps | steps 81 to 100 | last 20 steps | omega, first to last |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for row in rows:
        losses, omegas = row["losses"], row["omegas"]
        means = [mean(part) for part in (losses[:20], losses[80:100], losses[-20:])]
        omega = f"{omegas[0]:.3f} to {omegas[-1]:.3f}" if omegas else "-"
        yield f"| {row['name']} | {' | '.join(f'{value:.2f}' for value in means)} | {omega} |"
    yield ""
    yield f"The unigram loss is {unigram():.2f} nats."


def chart(rows: Rows) -> Chart:
    """Both curves, as means of ten steps, and the unigram loss."""
    points = [
        {
            "series": row["name"],
            "step": end,
            "loss": rounded(sum(row["losses"][end - 10 : end]) / 10),
        }
        for row in rows
        for end in range(10, len(row["losses"]) + 1, 5)
    ]
    return {
        "width": 460,
        "height": 260,
        "layer": [
            {
                "data": {"values": points},
                "mark": "line",
                "encoding": {
                    "x": {"field": "step", "type": "quantitative", "title": "step"},
                    "y": {
                        "field": "loss",
                        "type": "quantitative",
                        "title": "loss (nats a byte)",
                        "scale": {"zero": False},
                    },
                    "color": colour(NAMES),
                },
            },
            {
                "data": {"values": [{"loss": rounded(unigram())}]},
                "mark": {"type": "rule", "strokeDash": [4, 4], "color": "#666666"},
                "encoding": {"y": {"field": "loss", "type": "quantitative"}},
            },
        ],
    }


def main(arguments: list[str]) -> None:
    """Measure or draw."""
    if "--figure" in arguments:
        rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
        FIGURE.write_text(svg(chart(rows)))
        return
    measured = measure()
    RESULTS.write_text("".join(json.dumps(row) + "\n" for row in measured))
    for line in table(measured):
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])

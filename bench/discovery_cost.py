"""What finding and profiling the branches of a network costs, next to its forward pass.

    python -m bench.discovery_cost

A BERT of base size, 8 sequences of 128 tokens, on the CPU: an ordinary pass without gradients, the
same pass with every variance of every branch taken, and discovery, one after the other in each
round; medians over the rounds.
"""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn
from transformers import BertConfig, BertModel

from admin_core.analysis.profiling import profile
from admin_core.data.batch import Batch
from admin_core.residual import discover
from admin_core.spec import ClinicOmega

ROUNDS = 7


def measure() -> dict[str, float]:
    """Seconds of each, medians of `ROUNDS`."""
    torch.manual_seed(0)
    model: nn.Module = BertModel(BertConfig())
    model.eval()
    inputs = {"input_ids": torch.randint(0, 30_000, (8, 128))}
    found = discover(model, inputs)

    @torch.no_grad()
    def plain() -> None:
        model(**inputs)

    def profiled() -> None:
        profile(
            model,
            found.branches,
            Batch(inputs=inputs),
            admin_stacks=found.stacks,
            seed=0,
            omega=ClinicOmega(dropout=False),
        )

    def discovered() -> None:
        discover(model, inputs)

    runs: dict[str, Callable[[], None]] = {
        "forward": plain,
        "profile": profiled,
        "discovery": discovered,
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return {name: median(own[1:]) for name, own in seconds.items()}


def main() -> None:
    """Print the table."""
    found = measure()
    print("| | seconds | of a forward pass |\n| --- | ---: | ---: |")
    for name, seconds in found.items():
        print(f"| {name} | {seconds:.3f} | {seconds / found['forward']:.2f} |")


if __name__ == "__main__":
    main()

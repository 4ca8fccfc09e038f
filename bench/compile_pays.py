"""Whether torch.compile pays within one run of a race.

    python -m bench.compile_pays                        # CPU, about five minutes on one core

Trains 18 decoder layers of width 64, as in examples/depth.json, three times: as they are, compiled
as a whole, and compiled layer by layer, whose code the layers share. Prints the seconds that the
first two steps take, which hold the compilation, those of a later step, and what a run of 300 steps
takes altogether.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from admin_core.data.batches import make_batch
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.spec import Architecture, Scheme, TextData, TransformerSpec
from admin_core.training.loss import batch_loss

STEPS = 300
FIRST = 2
"""Steps that may hold a compilation: the second one sees gradients where there were none."""


def as_it_is(model: Transformer) -> nn.Module:
    return model


def as_a_whole(model: Transformer) -> nn.Module:
    model.compile()
    return model


def layer_by_layer(model: Transformer) -> nn.Module:
    for name, module in model.named_modules():
        if name.startswith("decoder.layers.") and name.count(".") == 2:
            module.compile()
    return model


WAYS: dict[str, Callable[[Transformer], nn.Module]] = {
    "as it is": as_it_is,
    "as a whole": as_a_whole,
    "layer by layer": layer_by_layer,
}


def seconds_per_step(
    way: Callable[[Transformer], nn.Module], device: torch.device, steps: int
) -> list[float]:
    """Of each step of a hand-written loop on fresh weights."""
    spec = TransformerSpec(
        architecture=Architecture.DECODER_ONLY,
        decoder_layers=18,
        d_model=64,
        num_heads=2,
        scheme=Scheme.PRE_LN,
    )
    torch.compiler.reset()
    torch.manual_seed(0)
    model = way(build_transformer(spec, seed=0, device=device))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    found = []
    for step in range(steps):
        start = time.perf_counter()
        batch = make_batch(
            TextData(), spec, batch_size=16, sequence_length=32, seed=0, step=step
        ).to(device)
        loss = batch_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()
        found.append(time.perf_counter() - start)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--steps", type=int, default=60, help="measured of each way")
    given = arguments.parse_args()
    device = torch.device(given.device)
    print(f"torch {torch.__version__}, {given.device}, {torch.get_num_threads()} threads")
    for name, way in WAYS.items():
        found = seconds_per_step(way, device, given.steps)
        first, step = sum(found[:FIRST]), statistics.median(found[FIRST:])
        whole = first + step * (STEPS - FIRST)
        print(
            f"{name:<15} first two steps {first:6.1f} s   a later step {1000 * step:6.1f} ms   "
            f"{STEPS} steps {whole:6.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()

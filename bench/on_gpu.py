"""What a GPU does: the same ratios as `bench.performance`, taken on it, and the same work on a CPU.

    python -m bench.on_gpu                    # minutes; adds to bench/results/on_gpu.jsonl
    python -m bench.on_gpu --rows profile

Times are by the clock, with the GPU waited for at both ends; ways take turns, and the median of the
turns is shown with the smallest and largest.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from admin_core.analysis.amplification import random_output_change, states
from admin_core.diagnosis import diagnose_spec
from admin_core.models.streamed import StreamedTransformer
from admin_core.models.transformer import Transformer
from admin_core.residual import residual_branches
from admin_core.sources import source_of
from admin_core.spec import DiagnosisSpec, TransformerSpec
from bench.performance import Row, diagnosis, machine, passes, ratios

GPU = torch.device("cuda:0")
RESULTS = Path("bench/results/on_gpu.jsonl")

LARGE: dict[str, Any] = {
    "architecture": "encoder_decoder",
    "encoder_layers": 12,
    "decoder_layers": 12,
    "d_model": 1024,
    "num_heads": 16,
}
TRAINING = {"batch_size": 16, "sequence_length": 256}


def seconds(work: Callable[[], object]) -> float:
    """By the clock, from an idle GPU to an idle GPU."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def profile_rows() -> Iterator[Row]:
    source = source_of(diagnosis(model=LARGE, training=TRAINING), GPU)
    model, batch = source.build(0), source.batch(0)
    assert isinstance(model, Transformer)
    branches = residual_branches(model)
    plain, profiled = passes(model, batch)

    def changed() -> None:
        before = states(model, branches, batch)
        random_output_change(model, branches, batch, before, draws=1, seed=0)

    name = "12-12, width 1024, 4,096 tokens a stack"
    found = ratios(profiled, plain, turns=7, seconds=seconds)
    yield Row(name=f"profiling pass / forward pass, {name}", target="1.10", values=found)
    yield Row(
        name="output change at all depths / forward pass, the same",
        target="reported",
        values=ratios(changed, plain, turns=5, seconds=seconds),
    )


def diagnosis_rows() -> Iterator[Row]:
    for name, analyses in (
        ("omega alone", ["omega"]),
        ("everything measured", ["omega", "amplification", "dependency", "gradients"]),
    ):
        spec = diagnosis(model=LARGE, training=TRAINING, analyses=analyses)
        diagnose_spec(spec, device=str(GPU))

        def on(device: str, spec: DiagnosisSpec = spec) -> Callable[[], object]:
            return lambda: diagnose_spec(spec, device=device)

        yield Row(
            name=f"diagnosis, {name}, the same model",
            target="reported",
            values=[seconds(on("cuda:0")) for _ in range(3)],
            unit="s",
        )
        yield Row(
            name=f"CPU of {torch.get_num_threads()} threads / GPU, {name}",
            target="reported",
            values=[seconds(on("cpu")) / seconds(on("cuda:0"))],
        )


def streamed_rows(layers: int = 4) -> Iterator[Row]:
    """GPT-3's width; drawing the next sub-layer while one is used, against drawing in between."""
    spec = TransformerSpec.model_validate(
        {
            "architecture": "decoder_only",
            "decoder_layers": layers,
            "d_model": 12_288,
            "num_heads": 96,
        }
    )
    shapes = StreamedTransformer(spec, seed=0, device=GPU).shapes
    paths = [branch.path for branch in residual_branches(shapes)]

    def through(*, ahead: bool) -> Callable[[], object]:
        def go() -> None:
            streamed = StreamedTransformer(spec, seed=0, device=GPU)
            streamed.ahead = ahead
            for sublayer in streamed.sublayers(paths):
                sum(weight.square().mean() for weight in sublayer.parameters())

        return go

    for name, ahead in (("one at a time", False), ("the next one ahead", True)):
        taken = [seconds(through(ahead=ahead)) / len(paths) for _ in range(2)]
        yield Row(
            name=f"a sub-layer of width 12,288, drawn {name}", target="", values=taken, unit="s"
        )


GROUPS: dict[str, Callable[[], Iterator[Row]]] = {
    "profile": profile_rows,
    "diagnosis": diagnosis_rows,
    "streamed": streamed_rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.on_gpu", description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=GROUPS, default=list(GROUPS))
    for group in parser.parse_args().rows:
        for row in GROUPS[group]():
            print(row.shown, flush=True)
            with RESULTS.open("a") as history:
                history.write(json.dumps(asdict(row) | {"machine": machine()}) + "\n")


if __name__ == "__main__":
    main()

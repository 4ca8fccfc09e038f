"""Where the time of a diagnosis goes: by stage, and by operation of torch.

    python -m bench.where_time_goes

The model of `bench.performance`'s diagnosis rows, everything measured, in one thread. Stages by the
time of the processor, the median of three; operations by torch.profiler, by their own time.
"""

import statistics
import time
from collections import defaultdict

import torch
from torch.autograd.profiler_util import FunctionEventAvg
from torch.profiler import ProfilerActivity, profile

from admin_core.diagnosis import diagnose_spec
from admin_core.progress import Progress
from bench.performance import SHORT, SMALLER, diagnosis

TURNS = 3
SHOWN = 10
SPEC = diagnosis(
    model=SMALLER,
    training=SHORT,
    analyses=["omega", "amplification", "dependency", "gradients"],
)


def stages() -> dict[str, float]:
    """Processor seconds of each stage."""
    began = [("", time.process_time())]

    def on_progress(progress: Progress) -> None:
        if progress.stage != began[-1][0]:
            began.append((progress.stage, time.process_time()))

    diagnose_spec(SPEC, on_progress=on_progress)
    began.append(("", time.process_time()))
    return {
        name: after - before
        for (name, before), (_, after) in zip(began[1:], began[2:], strict=False)
    }


def operations() -> list[FunctionEventAvg]:
    """Of the whole diagnosis, those with the most time of their own first."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        diagnose_spec(SPEC)
    return sorted(profiled.key_averages(), key=lambda op: -op.self_cpu_time_total)


def main() -> None:
    torch.set_num_threads(1)
    stages()
    turns: dict[str, list[float]] = defaultdict(list)
    for _ in range(TURNS):
        for name, seconds in stages().items():
            turns[name].append(seconds)
    medians = {name: statistics.median(taken) for name, taken in turns.items()}
    print("| stage | ms | share |\n| --- | ---: | ---: |")
    for name, seconds in medians.items():
        print(f"| {name} | {1000 * seconds:.0f} | {seconds / sum(medians.values()):.0%} |")
    found = operations()
    whole = sum(op.self_cpu_time_total for op in found)
    print("\n| operation | calls | share |\n| --- | ---: | ---: |")
    for op in found[:SHOWN]:
        print(f"| `{op.key}` | {op.count:,} | {op.self_cpu_time_total / whole:.0%} |")


if __name__ == "__main__":
    main()

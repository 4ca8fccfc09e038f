"""Our omegas held against a published file: the paper's model of 100 + 100 layers.

    python -m bench.published_omegas PATH [--seeds K] [--seed S]   # a minute per model on two cores

PATH is Transformer-Clinic's two-column file with 500 omegas, 200 of the encoder and 300 of the
decoder. The model is the paper's: d_model 512, d_ff 2048, 8 heads, dropout 0.1 everywhere, a
vocabulary of 32768. It is profiled by the clinic convention through `diagnose_spec`, which is what
a user would post; K fresh models are averaged, from seed S on. Printed are the relative deviations,
the time and the peak memory of this process. Exit status 1 says that some omega is off by more than
3 %, or all together by more than 1 % on average.
"""

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from admin_core.diagnosis import diagnose_spec
from admin_core.omega_files import read_clinic
from admin_core.report import Branch
from admin_core.spec import DiagnosisSpec, Stack

LARGEST, AVERAGE = 0.03, 0.01
"""What is asked: no omega further off, and the mean no larger."""


def paper_spec(*, seed: int, seeds: int) -> DiagnosisSpec:
    """The published model; 16 sequences of 64 bytes of text are the default batch."""
    return DiagnosisSpec.model_validate(
        {
            "model": {
                "architecture": "encoder_decoder",
                "encoder_layers": 100,
                "decoder_layers": 100,
                "d_model": 512,
                "num_heads": 8,
                "d_ff": 2048,
                "vocab_size": 32768,
                "scheme": "admin",
                "dropout": 0.1,
                "attention_dropout": 0.1,
                "activation_dropout": 0.1,
            },
            "omega": {"convention": "clinic", "seeds": seeds},
            "seed": seed,
            "analyses": ["omega"],
        }
    )


def relative_deviations(branches: Sequence[Branch], published: Sequence[float]) -> list[float]:
    """|omega - published| / published per sub-layer."""
    return [
        abs((branch.omega or 0.0) / expected - 1)
        for branch, expected in zip(branches, published, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("path", type=Path, metavar="PATH")
    parser.add_argument("--seeds", type=int, default=1, metavar="K", help="fresh models to average")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the first model")
    asked = parser.parse_args()

    start = time.perf_counter()
    report = diagnose_spec(paper_spec(seed=asked.seed, seeds=asked.seeds))
    seconds = time.perf_counter() - start
    deviations = relative_deviations(
        report.branches, read_clinic(asked.path.read_text(), report.branches)
    )

    of_stack = {
        stack.value: [
            deviation
            for branch, deviation in zip(report.branches, deviations, strict=True)
            if branch.stack is stack
        ]
        for stack in Stack
    }
    print(f"seed {asked.seed}, models averaged: {asked.seeds}")
    for name, row in {**of_stack, "both": deviations}.items():
        print(f"{name:8} {len(row):4} omegas, mean {mean(row):.2%}, largest {max(row):.2%}")
    # ru_maxrss is in KiB on Linux and in bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_bytes = peak if sys.platform == "darwin" else peak * 1024
    print(f"{seconds:.0f} s, peak memory {peak_bytes / 2**30:.2f} GiB")
    sys.exit(max(deviations) > LARGEST or mean(deviations) > AVERAGE)


if __name__ == "__main__":
    main()

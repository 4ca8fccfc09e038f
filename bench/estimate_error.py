"""How far the formula estimate lies from profiles, over a grid of specs; a table for
docs/estimate.md.

    python -m bench.estimate_error [--seeds 5]
"""

import argparse
import math
import time
from typing import Any

from admin_core.diagnosis import diagnose_spec
from admin_core.estimate.branches import estimate_branches
from admin_core.spec import DiagnosisSpec, TransformerSpec

BASE: dict[str, Any] = {
    "architecture": "encoder_decoder",
    "encoder_layers": 3,
    "decoder_layers": 3,
    "d_model": 128,
    "num_heads": 4,
    "vocab_size": 300,
}
DECODER = {"architecture": "decoder_only", "encoder_layers": None, "decoder_layers": 6}
ENCODER = {"architecture": "encoder_only", "encoder_layers": 6, "decoder_layers": None}

GRID: dict[str, dict[str, Any]] = {
    "encoder-decoder, Post-LN, Xavier, ReLU": {},
    "encoder-only": ENCODER,
    "decoder-only": DECODER,
    "width 64": {"d_model": 64},
    "width 256": {"d_model": 256},
    "width 512": {"d_model": 512, "num_heads": 8},
    "18 + 18 layers": {"encoder_layers": 18, "decoder_layers": 18},
    **{
        scheme: {"scheme": scheme}
        for scheme in (
            "admin",
            "pre_ln",
            "deepnorm",
            "sub_ln",
            "rezero",
            "t_fixup",
            "sandwich_ln",
            "peri_ln",
        )
    },
    "RMSNorm, Pre-LN": {"norm": "rms_norm", "scheme": "pre_ln"},
    "GELU": {"activation": "gelu"},
    "SwiGLU, Pre-LN": {"activation": "swiglu", "scheme": "pre_ln"},
    "GPT-2's init, learned positions, Pre-LN": {
        **DECODER,
        "initialisation": "gpt2",
        "positions": "learned",
        "scheme": "pre_ln",
    },
    "T5's init": {"initialisation": "t5"},
    "rotary positions": {"positions": "rotary"},
    "QK-norm, one key head, parallel, Pre-LN": {
        **DECODER,
        "qk_norm": True,
        "num_kv_heads": 1,
        "parallel": True,
        "scheme": "pre_ln",
    },
    "no dropout": {"dropout": 0.0},
    "dropout 0.1 in all places": {"attention_dropout": 0.1, "activation_dropout": 0.1},
    "dropout 0.3 in all places": {
        "dropout": 0.3,
        "attention_dropout": 0.3,
        "activation_dropout": 0.3,
    },
}
OTHER_DATA: dict[str, tuple[dict[str, Any], dict[str, Any] | None, int]] = {
    "uniform tokens": ({}, {"kind": "synthetic", "name": "uniform"}, 64),
    "Zipf's tokens": ({}, {"kind": "synthetic", "name": "zipf"}, 64),
    "sequences of 16": ({}, None, 16),
    "sequences of 256": ({}, None, 256),
}


def spec_of(
    changes: dict[str, Any], data: dict[str, Any] | None, length: int, *, seeds: int
) -> DiagnosisSpec:
    model = {name: value for name, value in (BASE | changes).items() if value is not None}
    body: dict[str, Any] = {
        "model": model,
        "training": {"batch_size": 512 // length, "sequence_length": length},
        "omega": {"seeds": seeds},
        "analyses": ["omega"],
    }
    return DiagnosisSpec.model_validate(body | ({"data": data} if data else {}))


def row(name: str, spec: DiagnosisSpec) -> str:
    assert isinstance(spec.model, TransformerSpec)
    start = time.process_time()
    estimated = estimate_branches(spec, spec.model)
    milliseconds = 1e3 * (time.process_time() - start)
    measured = diagnose_spec(spec).branches
    errors = [
        abs(math.log(e.branch_variance / m.branch_variance))
        for e, m in zip(estimated, measured, strict=True)
    ]
    of_omega = [
        abs(e.omega / m.omega - 1)
        for e, m in zip(estimated, measured, strict=True)
        if e.omega and m.omega
    ]
    omega = f"{max(of_omega):.1%}" if of_omega else ""
    mean = math.expm1(sum(errors) / len(errors))
    return (
        f"| {name} | {mean:.1%} | {math.expm1(max(errors)):.1%} | {omega} | {milliseconds:.0f} ms |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    print("| spec | variance, mean | largest | omega, largest | time |")
    print("| --- | --- | --- | --- | --- |")
    cases = OTHER_DATA | {name: (changes, None, 64) for name, changes in GRID.items()}
    for name, (changes, data, length) in cases.items():
        print(row(name, spec_of(changes, data, length, seeds=seeds)), flush=True)


if __name__ == "__main__":
    main()

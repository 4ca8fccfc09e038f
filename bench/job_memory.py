"""What memory a job takes beside its process, against what `admin_core.job_size` makes of its spec.

    python -m bench.job_memory

Each job runs in a process of its own, after a tiny one that loads what torch loads late. The figure
is the largest resident size while it runs, less the one before it.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SHAPES: list[tuple[str, int, int, int, int, int, int]] = [
    # architecture, layers, d_model, vocab_size, batch, length, heads
    ("encoder_only", 2, 64, 256, 8, 32, 4),
    ("encoder_only", 12, 256, 256, 16, 64, 4),
    ("encoder_only", 6, 512, 8192, 8, 64, 8),
    ("decoder_only", 6, 512, 32768, 4, 128, 8),
    ("decoder_only", 12, 768, 256, 4, 64, 12),
    ("decoder_only", 4, 128, 256, 4, 512, 8),
    ("encoder_decoder", 6, 512, 8192, 8, 64, 8),
    ("encoder_decoder", 18, 256, 256, 16, 64, 4),
]


def spec_of(shape: tuple[str, int, int, int, int, int, int]) -> dict[str, Any]:
    architecture, layers, d_model, vocab_size, batch, length, heads = shape
    sides = {f"{side}_layers": layers for side in ("encoder", "decoder") if side in architecture}
    return {
        "model": {
            "kind": "transformer",
            "architecture": architecture,
            "d_model": d_model,
            "num_heads": heads,
            "vocab_size": vocab_size,
            **sides,
        },
        "training": {"batch_size": batch, "sequence_length": length, "steps": 3},
        "data": {"kind": "synthetic", "name": "uniform"},
    }


def main() -> None:
    print("| job | model | batch | weights | measured MB | estimated MB | estimated / measured |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for shape in SHAPES:
        for kind in ("diagnosis", "race_run"):
            told = json.dumps({"kind": kind, "spec": spec_of(shape)})
            run = subprocess.run(
                [sys.executable, "-m", "bench.job_memory", told], capture_output=True, text=True
            )
            if run.returncode:
                print(f"| {kind} | {shape} | {run.stderr.strip().splitlines()[-1]} |")
                continue
            got = json.loads(run.stdout)
            architecture, layers, d_model, vocab_size, batch, length, _ = shape
            print(
                f"| {kind} | {architecture} {layers} x {d_model}, {vocab_size} "
                f"| {batch} x {length} "
                f"| {got['parameters'] / 1e6:.1f} M | {got['measured'] / 1e6:.0f} "
                f"| {got['estimated'] / 1e6:.0f} | {got['estimated'] / got['measured']:.2f} |",
                flush=True,
            )


def measure(kind: str, body: dict[str, Any]) -> None:
    from admin_core.diagnosis import diagnose_spec
    from admin_core.job_size import diagnosis_bytes, run_bytes
    from admin_core.race_spec import RaceSpec
    from admin_core.size import num_parameters
    from admin_core.spec import DiagnosisSpec
    from admin_core.training.arm import train_arm

    def go(body: dict[str, Any]) -> int:
        if kind == "diagnosis":
            spec = DiagnosisSpec.model_validate(body)
            diagnose_spec(spec, device="cpu")
            return diagnosis_bytes(spec)
        run = RaceSpec.model_validate(body | {"arms": ["admin"], "seeds": 1}).run(0)
        train_arm(run, seed=0, device="cpu")
        return run_bytes(run)

    go(spec_of(("encoder_decoder", 1, 8, 256, 2, 8, 1)))
    before = _status("VmRSS")
    # The largest resident size starts again from here.
    Path("/proc/self/clear_refs").write_text("5")
    estimated = go(body)
    print(
        json.dumps(
            {
                "parameters": num_parameters(DiagnosisSpec.model_validate(body).model),
                "measured": _status("VmHWM") - before,
                "estimated": estimated,
            }
        )
    )


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asked = json.loads(sys.argv[1])
        measure(asked["kind"], asked["spec"])
    else:
        main()

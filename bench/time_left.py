"""How far the estimates of the time left are off, for diagnoses of several kinds and a race.

    python -m bench.time_left

Runs each in this process, and prints, at a quarter, a half and three quarters of the time that it
took, the estimate over what was really left: 1 is right, 2 is twice too long.
"""

import time
from collections.abc import Callable
from typing import Any

from admin_core.diagnosis import diagnose_spec
from admin_core.progress import OnProgress, Progress, seconds_left
from admin_core.race import race
from admin_core.race_spec import RaceSpec
from admin_core.spec import DiagnosisSpec

MODEL = {"kind": "transformer", "architecture": "decoder_only", "d_model": 64, "num_heads": 4}
TRAINING = {"steps": 200, "warmup_steps": 20, "batch_size": 8, "sequence_length": 32}
PARTS = (0.25, 0.5, 0.75)

DIAGNOSES: dict[str, dict[str, Any]] = {
    "stable": {"decoder_layers": 6, "scheme": "pre_ln"},
    "unstable, mended": {"decoder_layers": 12, "scheme": "post_ln"},
    "outside the calibrated range": {"decoder_layers": 30, "scheme": "post_ln"},
}

Work = Callable[[OnProgress], object]


def estimates(work: Work) -> tuple[float, list[float | None]]:
    """Seconds that the work took, and at each of PARTS the estimate over what was left."""
    began = time.perf_counter()
    told: list[tuple[float, float]] = []

    def on_progress(progress: Progress) -> None:
        told.append((time.perf_counter() - began, progress.share))

    work(on_progress)
    took = time.perf_counter() - began
    found: list[float | None] = []
    for part in PARTS:
        now = part * took
        share = max((share for at, share in told if at <= now), default=0.0)
        estimate = seconds_left(share, now)
        found.append(None if estimate is None else estimate / (took - now))
    return took, found


def main() -> None:
    print(f"{'':<40}{'seconds':>8}" + "".join(f"{f'at {part:.0%}':>9}" for part in PARTS))
    for name, model in DIAGNOSES.items():
        for edges in ([], ["edges"]):
            analyses = ["omega", "amplification", "dependency", "gradients", "verdict", *edges]
            body = {"model": MODEL | model, "training": TRAINING, "analyses": analyses}
            spec = DiagnosisSpec.model_validate(body)
            _print(f"{name}{', with edges' if edges else ''}", _diagnosis(spec))
    body = {"model": MODEL | {"decoder_layers": 6}, "training": TRAINING, "seeds": 2}
    raced = RaceSpec.model_validate(body | {"arms": ["post_ln", "admin"]})
    _print("race, 2 arms and 2 seeds", lambda tell: race(raced, on_progress=tell))


def _diagnosis(spec: DiagnosisSpec) -> Work:
    return lambda tell: diagnose_spec(spec, on_progress=tell)


def _print(name: str, work: Work) -> None:
    took, found = estimates(work)
    said = "".join(f"{'-' if ratio is None else f'{ratio:.2f}':>9}" for ratio in found)
    print(f"{name:<40}{took:>8.1f}{said}")


if __name__ == "__main__":
    main()

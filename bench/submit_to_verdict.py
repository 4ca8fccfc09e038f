"""From a POST to an answer with a warm worker, against a Python process that starts from nothing.

    python -m bench.submit_to_verdict

The model has 6 encoder and 6 decoder layers, d_model 512, d_ff 2048, and reads 8 x 32 bytes. The
three ways take turns, and the medians of five turns are printed, with the smallest and largest.
"""

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

TURNS = 5

REQUEST: dict[str, Any] = {
    "model": {
        "kind": "transformer",
        "architecture": "encoder_decoder",
        "encoder_layers": 6,
        "decoder_layers": 6,
        "d_model": 512,
        "num_heads": 8,
        "d_ff": 2048,
    },
    "training": {"batch_size": 8, "sequence_length": 32},
}

BARE = """
import json, sys
from admin_core.spec import DiagnosisSpec
from admin_core.diagnosis import diagnose_spec
diagnose_spec(DiagnosisSpec.model_validate(json.loads(sys.argv[1])))
"""


@contextmanager
def serving() -> Iterator[httpx.Client]:
    """Within the block, a service of its own on this machine, with a warm worker."""
    trimtab = Path(sys.executable).with_name("trimtab")
    with tempfile.TemporaryDirectory(prefix="tt-") as home:
        service = subprocess.Popen(
            [trimtab, "serve", "--port", "0"],
            cwd=home,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert service.stdout is not None
            url = service.stdout.readline().split()[3].rstrip(";")
            with httpx.Client(base_url=url, timeout=320) as http:
                yield http
        finally:
            service.terminate()
            service.wait(30)


def main() -> None:
    seed = itertools.count()
    with serving() as http:
        compare(http, lambda: next(seed))


def compare(http: httpx.Client, new_seed: Callable[[], int]) -> None:
    def post(analyses: list[str]) -> None:
        # A seed of its own, so that no answer is one that was given before.
        body = REQUEST | {"analyses": analyses, "seed": new_seed()}
        answer = http.post("/v1/diagnoses", params={"wait": 60}, json=body)
        assert answer.json()["state"] == "succeeded", answer.text

    def bare() -> None:
        body = REQUEST | {"analyses": ["omega"], "seed": new_seed()}
        subprocess.run([sys.executable, "-c", BARE, json.dumps(body)], check=True)

    ways: dict[str, Callable[[], None]] = {
        "warm worker, omega": lambda: post(["omega"]),
        "warm worker, omega and verdict": lambda: post(["omega", "verdict"]),
        "bare process, omega": bare,
    }
    post(["omega", "verdict"])
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        middle = statistics.median(times)
        print(f"{name:32} {middle:6.2f} s  ({min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    main()

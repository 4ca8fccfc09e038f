"""One round of requests against a running service."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx

HERE = Path(__file__).parent
ALL_PHASES = ("examples", "coverage", "fuzzing", "stateful")
TINY = {
    "model": {"architecture": "encoder_only", "encoder_layers": 2, "d_model": 8, "num_heads": 1},
    "training": {"batch_size": 2, "sequence_length": 8, "steps": 4},
}


class Round(NamedTuple):
    """What came of it."""

    passed: bool
    cases: int
    """Requests that were made and checked."""
    probed: int
    """Jobs and data sets that were asked for with another key."""


Known = Mapping[str, list[str]]
"""Values of parameters of an address, by the parameter's name, for which there is something."""

LONGEST_WAIT = 2
"""Seconds that a request may ask to wait for a job; of the 300 that it may, many would be none."""


def furnish(url: str, key: str, report: dict[str, Any]) -> Known:
    """Make one of each thing that a request may name."""
    pushed = {"spec": {"model": "tiny"}, "report": report}
    plain = {"content-type": "text/plain"}
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as http:
        made = {
            "job_id": http.post("/v1/reports", json=pushed),
            "race_id": http.post(
                "/v1/races", json=TINY | {"arms": ["post_ln", "admin"], "seeds": 1}
            ),
            "run_id": http.post("/v1/runs", json={"name": "a loop"}),
            "dataset_id": http.post(
                "/v1/datasets", content=b"to be or not to be\n" * 300, headers=plain
            ),
        }
    ids = {name: [str(answer.raise_for_status().json()["id"])] for name, answer in made.items()}
    return ids | {"name": ["omega", "variances", "curves", "outcomes"]}


def fuzz(
    url: str,
    key: str,
    other_key: str,
    folder: Path,
    *,
    known: Known,
    examples: int,
    seed: int,
    phases: Sequence[str] = ALL_PHASES,
) -> Round:
    """Make requests of every operation with `key`.

    Args:
        other_key: which must find nothing of what the first is given.
        folder: for what is written down.
        known: what half of the addresses name.
        examples: of each operation in each phase.
    """
    tally, told, document = (folder / name for name in ("tally.json", "told.ndjson", "api.json"))
    tally.unlink(missing_ok=True)
    # To make it takes longer on a busy machine than schemathesis waits.
    described = httpx.get(f"{url}/openapi.json", timeout=600).json()
    document.write_text(json.dumps(_narrowed(described, known)))
    status = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", HERE / "fuzz.toml"),
            *("run", document, "--url", url, "--header", f"Authorization: Bearer {key}"),
            *("--phases", ",".join(phases), "--max-examples", str(examples)),
            *("--report", "ndjson", "--report-ndjson-path", told),
            *("--seed", str(seed), "--no-color"),
        ],
        cwd=HERE.parents[1],
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "bench.fuzz.checks", "FUZZ_URL": url}
        | {"FUZZ_OTHER_KEY": other_key, "FUZZ_TALLY": str(tally)},
    ).returncode
    probed = json.loads(tally.read_text())["probed"] if tally.exists() else 0
    return Round(status == 0, _cases(told), probed)


def _narrowed(document: dict[str, Any], known: Known) -> dict[str, Any]:
    """The same document for parameters that find something, and do not wait for long."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "wait":
                    parameter["schema"] |= {"maximum": LONGEST_WAIT, "default": 0}
                elif parameter["in"] == "path" and parameter["name"] in known:
                    found = {"enum": known[parameter["name"]]}
                    parameter["schema"] = {"anyOf": [found, parameter["schema"]]}
    return document


def _cases(told: Path) -> int:
    number = 0
    with told.open() as lines:
        for line in lines:
            finished = json.loads(line).get("ScenarioFinished")
            if finished is not None:
                number += len((finished.get("recorder") or {}).get("cases", ()))
    return number

"""`python -m bench.fuzz`: fuzz the whole API with keys, and say what was tried.

A service of its own is started, in a folder that goes when it ends, with small limits on models
and none on requests. Its first key has a finished report, a race, a run and a data set, so that
there is something to find; schemathesis then makes requests of every operation, alone and in
sequences, until there were as many cases as asked for. Exit code 1 if any answer was none that the
document has.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from admin_core.diagnosis import diagnose_spec
from admin_core.spec import DiagnosisSpec
from worker import keys
from worker.keys import Scope
from worker.settings import Settings
from worker.store import Store

HERE = Path(__file__).parent
TINY = {
    "model": {"architecture": "encoder_only", "encoder_layers": 2, "d_model": 8, "num_heads": 1},
    "training": {"batch_size": 2, "sequence_length": 8, "steps": 4},
}
SETTINGS = {
    "TRIMTAB_REQUIRE_KEY": "always",
    "TRIMTAB_RATE_LIMIT": "none",
    "TRIMTAB_SUBMIT_RATE_LIMIT": "none",
    "TRIMTAB_MAX_PARAMETERS": "200000",
    "TRIMTAB_MAX_TOKENS": "256",
    "TRIMTAB_MAX_RACE_STEPS": "20",
    # So that a full queue is met as well.
    "TRIMTAB_MAX_QUEUED_JOBS": "1500",
    "TRIMTAB_DEVICE": "cpu",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="at least so many")
    parser.add_argument("--examples", type=int, default=100, help="of each operation in a round")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", action="store_true", help="have the jobs worked on as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tt-") as folder:
        home = Path(folder)
        mine, others = _keys(home)
        command = ["serve"] if options.workers else ["api"]
        environment = os.environ | SETTINGS | {"TRIMTAB_HOME": folder}
        if not options.workers:
            environment["TRIMTAB_BROKER_URL"] = "memory://"
        with (home / "terminal.log").open("w") as log:
            service = subprocess.Popen(
                [Path(sys.executable).with_name("trimtab"), *command, "--port", "0"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            try:
                assert service.stdout is not None
                url = service.stdout.readline().split("listens on ")[1].split(";")[0]
                _furnish(url, mine)
                failed = _fuzz(url, mine, others, home, options)
            finally:
                service.terminate()
                service.wait()
        errors = _unexpected(home)
    for line in errors[:10]:
        print(line)
    sys.exit(bool(failed or errors))


def _keys(home: Path) -> tuple[str, str]:
    store = Store(Settings(home=home).database_url)
    store.migrate()
    both = (Scope.SUBMIT, Scope.READ)
    made = keys.create(store, "mine", both)[1], keys.create(store, "another's", both)[1]
    store.close()
    return made


def _furnish(url: str, key: str) -> None:
    """Make one of each thing that a request may name."""
    report = diagnose_spec(DiagnosisSpec.model_validate(TINY))
    pushed = {"spec": {"model": "tiny"}, "report": report.model_dump(mode="json")}
    plain = {"content-type": "text/plain"}
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as http:
        for answer in (
            http.post("/v1/reports", json=pushed),
            http.post("/v1/races", json=TINY | {"arms": ["post_ln", "admin"], "seeds": 1}),
            http.post("/v1/runs", json={"name": "a loop"}),
            http.post("/v1/datasets", content=b"to be or not to be\n" * 300, headers=plain),
        ):
            answer.raise_for_status()


def _fuzz(url: str, mine: str, others: str, home: Path, options: argparse.Namespace) -> bool:
    """Rounds with other seeds, until there were enough cases; whether any failed."""
    began, cases, probed, rounds, failed = time.monotonic(), 0, 0, 0, False
    tally, told, document = (home / name for name in ("tally.json", "told.ndjson", "openapi.json"))
    document.write_text(httpx.get(f"{url}/openapi.json", timeout=600).text)
    while cases < options.cases:
        status = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", HERE / "fuzz.toml"),
                *("run", document, "--url", url, "--header", f"Authorization: Bearer {mine}"),
                *("--max-examples", str(options.examples), "--seed", str(options.seed + rounds)),
                *("--report", "ndjson", "--report-ndjson-path", told, "--no-color"),
            ],
            cwd=HERE.parents[1],
            env=os.environ
            | {"SCHEMATHESIS_HOOKS": "bench.fuzz.checks", "FUZZ_URL": url}
            | {"FUZZ_OTHER_KEY": others, "FUZZ_TALLY": str(tally)},
        ).returncode
        failed |= status != 0
        rounds += 1
        cases += _cases(told)
        probed += json.loads(tally.read_text())["probed"] if tally.exists() else 0
        seconds = time.monotonic() - began
        print(
            f"{cases:,} cases in {rounds} rounds and {seconds:,.0f} s; {probed:,} jobs and data "
            "sets asked for with another key",
            flush=True,
        )
        if failed:
            break
    return failed


def _cases(told: Path) -> int:
    """Requests that were made and checked, as the run tells."""
    number = 0
    with told.open() as lines:
        for line in lines:
            finished = json.loads(line).get("ScenarioFinished")
            if finished is not None:
                number += len((finished.get("recorder") or {}).get("cases", ()))
    return number


def _unexpected(home: Path) -> list[str]:
    """Lines of the service's log about errors of its own."""
    lines = [line for log in (home / "logs").glob("*.log") for line in log.read_text().splitlines()]
    return [line for line in lines if '"level": "error"' in line]


if __name__ == "__main__":
    main()

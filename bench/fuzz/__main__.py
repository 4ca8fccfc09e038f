"""`python -m bench.fuzz`: fuzz the whole API with keys, and say what was tried.

A service of its own is started, in a folder that goes when it ends, with small limits on models
and none on requests. Its first key has a finished report, a race, a run and a data set, so that
there is something to find; schemathesis then makes requests of every operation, alone and in
sequences, until there were as many cases as asked for. Exit code 1 if any answer was none that the
document has, or the service wrote an error into its log.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from admin_core.diagnosis import diagnose_spec
from admin_core.spec import DiagnosisSpec
from bench.fuzz.round import ALL_PHASES, TINY, Known, furnish, fuzz
from worker import keys
from worker.keys import Scope
from worker.settings import Settings
from worker.store import Store

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
    parser.add_argument("--examples", type=int, default=40, help="of each operation in a phase")
    parser.add_argument("--phases", default=",".join(ALL_PHASES), help="of schemathesis, in order")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", action="store_true", help="have the jobs worked on as well")
    options = parser.parse_args()
    report = diagnose_spec(DiagnosisSpec.model_validate(TINY)).model_dump(mode="json")
    with tempfile.TemporaryDirectory(prefix="tt-") as folder:
        home = Path(folder)
        mine, others = _keys(home)
        environment = os.environ | SETTINGS | {"TRIMTAB_HOME": folder}
        if not options.workers:
            environment["TRIMTAB_BROKER_URL"] = "memory://"
        with (home / "terminal.log").open("w") as log:
            service = subprocess.Popen(
                [
                    Path(sys.executable).with_name("trimtab"),
                    *("serve" if options.workers else "api", "--port", "0"),
                ],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            try:
                assert service.stdout is not None
                url = service.stdout.readline().split("listens on ")[1].split(";")[0]
                known = furnish(url, mine, report)
                passed = _rounds(url, mine, others, home, known, options)
            finally:
                service.terminate()
                service.wait()
        errors = _errors(home)
    for line in errors[:10]:
        print(line)
    sys.exit(not passed or bool(errors))


def _keys(home: Path) -> tuple[str, str]:
    store = Store(Settings(home=home).database_url)
    store.migrate()
    both = (Scope.SUBMIT, Scope.READ)
    made = keys.create(store, "mine", both)[1], keys.create(store, "another's", both)[1]
    store.close()
    return made


def _rounds(
    url: str, mine: str, others: str, home: Path, known: Known, options: argparse.Namespace
) -> bool:
    """Until there were enough cases, each with another seed; whether all passed."""
    began, cases, probed, rounds, passed = time.monotonic(), 0, 0, 0, True
    while cases < options.cases and passed:
        done = fuzz(
            *(url, mine, others, home),
            known=known,
            examples=options.examples,
            seed=options.seed + rounds,
            phases=options.phases.split(","),
        )
        rounds, cases, probed = rounds + 1, cases + done.cases, probed + done.probed
        passed = done.passed
        seconds = time.monotonic() - began
        print(
            f"{cases:,} cases in {rounds} rounds and {seconds:,.0f} s; {probed:,} jobs and data "
            "sets asked for with another key",
            flush=True,
        )
    return passed


def _errors(home: Path) -> list[str]:
    """Lines of the service's log about errors of its own."""
    lines = [line for log in (home / "logs").glob("*.log") for line in log.read_text().splitlines()]
    return [line for line in lines if '"level": "error"' in line]


if __name__ == "__main__":
    main()

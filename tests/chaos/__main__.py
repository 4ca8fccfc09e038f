"""The program: prints what went wrong around the jobs, and what became of them.

Exit code 0 if every accepted job has one end and one result, the one of an undisturbed run.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from worker.openmp import wait_without_spinning

wait_without_spinning()
os.environ.setdefault("OMP_NUM_THREADS", "1")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--faults", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--between-seconds", type=float, default=3.0)
    parser.add_argument("--layers", type=int, default=16, help="of each model")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="postgresql")
    asked = parser.parse_args()

    from tests.chaos.run import run_chaos

    folder = Path(tempfile.mkdtemp(prefix="tt-"))
    folder.chmod(0o755)
    outcome = run_chaos(
        folder,
        count=asked.jobs,
        faults=asked.faults,
        seed=asked.seed,
        database=asked.database,
        between_seconds=asked.between_seconds,
        layers=asked.layers,
    )
    print(f"seed {asked.seed}, {asked.database}, {outcome.seconds:.0f} s")
    for title, counted in (
        ("faults", outcome.faults),
        ("requests sent again", outcome.answers),
        ("jobs and runs", outcome.states),
        ("attempts", outcome.endings),
    ):
        print(f"{title}: " + ", ".join(f"{n} {name}" for name, n in sorted(counted.items())))
    print(f"jobs accepted: {outcome.submitted}; given up after three attempts: {outcome.exhausted}")
    for violation in outcome.violations:
        print(f"VIOLATION {violation}")
    if outcome.violations:
        print(f"The logs are in {folder}.")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(bool(outcome.violations))


if __name__ == "__main__":
    main()

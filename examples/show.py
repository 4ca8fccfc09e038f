"""Shows a finished diagnosis: show.py ANSWER.json [EXPECTED-OUTCOME].

ANSWER.json is what GET /v1/diagnoses/{id} gave. Exits 1 if the verdict is another one than
expected, and 3 if there is none.
"""

import json
import os
import sys
from pathlib import Path


def main(answer: str, expected: str | None = None) -> int:
    job = json.loads(Path(answer).read_text())
    report = job.get("report")
    if report is None:
        problem = job.get("problem") or job
        print(f"  no report: {problem.get('detail') or problem.get('title')}")
        return 3
    outcome = report["verdict"]["outcome"]
    print(f"  verdict   {outcome}")
    for reason in report["verdict"]["reasons"]:
        if reason["outcome"] == outcome != "stable":
            print(f"            {reason['explanation']}")
    slopes = report["amplification"]["random"]
    for stack, change in slopes.items():
        omegas = [b["omega"] for b in report["branches"] if b["stack"] == stack]
        print(f"  {stack:<9} {omega_line(omegas)}; output-change slope {change['slope']:.2f}")
    print(f"  report    {os.path.relpath(answer)}")
    if expected is not None and outcome != expected:
        print(f"  expected the verdict {expected}, not {outcome}")
        return 1
    return 0


def omega_line(omegas: list[float | None]) -> str:
    """The first, middle and last omega of a stack."""
    shown = {"first": omegas[0], "middle": omegas[len(omegas) // 2], "last": omegas[-1]}
    return "omega " + ", ".join(
        f"{which} {'none' if omega is None else format(omega, '.3f')}"
        for which, omega in shown.items()
    )


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(f"{__doc__}")
    sys.exit(main(*sys.argv[1:]))

"""The figures and results of docs/reproduction.md, made through the API.

    trimtab serve                                       # in another terminal
    python -m bench.reproduction [--url URL] [NAME ...]

NAME is one or more of post-ln-18, admin-18, paper-table1, depth and sensitivity, each a file in
examples/; all unless given, which takes half an hour on one core. Each is submitted to the running
service and waited for. Its report goes to bench/results/NAME.json, without what takes most room,
and its figures, as the service draws them, to docs/figures/NAME-FIGURE.svg.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import httpx

from admin_core.figures.figure import Figure, rounded
from admin_core.figures.rendering import svg
from admin_core.race_report import RaceReport
from admin_core.report import Report
from admin_core.report_files.markdown import table
from admin_core.report_files.tables import arms, growth

ROOT = Path(__file__).parent.parent
EXAMPLES, RESULTS, FIGURES = (
    ROOT / "examples",
    ROOT / "bench" / "results",
    ROOT / "docs" / "figures",
)

SHOWN = {
    "post-ln-18": ("amplification", "dependency"),
    "admin-18": ("amplification", "dependency", "omega"),
    "paper-table1": ("curves", "outcomes"),
    "depth": ("curves", "outcomes"),
    "sensitivity": ("curves",),
}
"""Figures of each that are kept."""


def submit(client: httpx.Client, name: str) -> dict[str, Any]:
    """The job, which may not have begun."""
    body = json.loads((EXAMPLES / f"{name}.json").read_text())
    kind = "races" if "arms" in body else "diagnoses"
    answer = client.post(f"/v1/{kind}", params={"fresh": True}, json=body)
    if answer.status_code not in (200, 202):
        raise SystemExit(f"{name}: {answer.text}")
    job: dict[str, Any] = answer.json()
    return job


def finished(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """The same job, once it has succeeded."""
    while job["state"] in ("queued", "running"):
        job = client.get(job["links"]["self"], params={"wait": 60}).json()
    if job["state"] != "succeeded":
        raise SystemExit(f"{job['kind']} {job['id']} {job['state']}: {job['problem']}")
    return job


def keep(client: httpx.Client, name: str, job: dict[str, Any]) -> None:
    """The report and the figures, as files of the repository."""
    report = job["report"]
    if job["kind"] == "race":
        for arm in report["arms"]:
            for seed in arm["seeds"]:
                seed["monitor"] |= {"points": [], "findings": []}
                seed["losses"] = [rounded(loss) for loss in seed["losses"]]
    else:
        # Gradients of every weight, histograms and the maps of dependency would be most of it.
        report = report | dict.fromkeys(
            ("dependency", "gradients", "stability_rules", "numeric_range")
        )
    kept = json.dumps({"spec": job["spec"], "report": report}, separators=(",", ":"))
    (RESULTS / f"{name}.json").write_text(kept + "\n")
    for figure in SHOWN[name]:
        drawn = client.get(f"{job['links']['self']}/figures/{figure}.svg")
        drawn.raise_for_status()
        (FIGURES / f"{name}-{figure}.svg").write_bytes(drawn.content)
    if name == "sensitivity":
        grid = sensitivity_map(job["spec"], RaceReport.model_validate(report))
        (FIGURES / f"{name}-map.svg").write_text(svg(grid))


def sensitivity_map(spec: dict[str, Any], report: RaceReport) -> Figure:
    """Final loss over learning rate and beta2, a panel for each scheme, as the paper's figure of
    the same grid."""
    rows = []
    for asked, arm in zip(spec["arms"], report.arms, strict=True):
        training = asked["patch"]["training"]
        rows.append(
            {
                "scheme": asked["patch"]["model"]["scheme"],
                "lr": f"{training['learning_rate']:g}",
                "beta2": f"{training['betas'][1]:g}",
                "loss": None if arm.final_loss is None else rounded(arm.final_loss),
                "text": "-" if arm.final_loss is None else f"{arm.final_loss:.2f}",
            }
        )
    middle = report.unigram_loss * 0.9
    channels = {
        "x": {
            "field": "lr",
            "type": "ordinal",
            "title": "learning rate",
            "axis": {"labelAngle": 0},
        },
        "y": {"field": "beta2", "type": "ordinal", "title": "beta2"},
    }
    colour = {
        "field": "loss",
        "type": "quantitative",
        "title": "final loss (nats)",
        "scale": {"scheme": "viridis", "reverse": True},
    }
    written = {
        "text": {"field": "text", "type": "nominal"},
        "color": {
            "condition": {"test": f"datum.loss > {middle}", "value": "white"},
            "value": "black",
        },
    }
    panels = [
        {
            "title": scheme,
            "width": {"step": 52},
            "height": {"step": 36},
            "data": {"values": [row for row in rows if row["scheme"] == scheme]},
            "encoding": channels,
            "layer": [
                {"mark": "rect", "encoding": {"color": colour}},
                {"mark": {"type": "text", "fontSize": 11}, "encoding": written},
            ],
        }
        for scheme in dict.fromkeys(row["scheme"] for row in rows)
    ]
    return Figure(
        name="sensitivity_map",
        title="Sensitivity to learning rate and beta2",
        caption=(
            "Final loss of each cell of the grid, a panel for each scheme, all on one scale. A "
            "scheme that is even all over does not care."
        ),
        chart={"hconcat": panels},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the results of docs/reproduction.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SHOWN))
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the service")
    asked = parser.parse_args()
    unknown = set(asked.names) - SHOWN.keys()
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    FIGURES.mkdir(exist_ok=True)
    with httpx.Client(base_url=asked.url, timeout=120) as client:
        # All at once, as the service does them one after the other anyway.
        jobs = {name: submit(client, name) for name in asked.names or SHOWN}
        for name, waiting in jobs.items():
            job = finished(client, waiting)
            keep(client, name, job)
            print(f"\n{name}: {job['started_at']} to {job['finished_at']}\n", flush=True)
            if job["kind"] == "race":
                report = RaceReport.model_validate(job["report"])
                print(table(arms(report)), f"\n\n{report.conclusion}", flush=True)
            else:
                found = Report.model_validate(job["report"])
                assert found.verdict is not None
                assert found.amplification is not None
                print(found.verdict.outcome.value, table(growth(found.amplification)), sep="\n")


if __name__ == "__main__":
    main()

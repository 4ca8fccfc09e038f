"""The page of a race: live curves while it runs, then what became of the arms."""

from typing import Any

from fastapi import APIRouter, Request, Response

from admin_core.figures.of_report import figures
from admin_core.race_report import RaceReport
from admin_core.report_files import tables
from admin_core.report_files.footing import footing
from admin_core.report_files.tables import Table, number
from app.deps import StoreDep
from app.job_answers import find_job
from app.job_view import job_path
from app.pages.describing import described, page_path
from app.pages.page import PageRoute, VisitorDep, page, see_other
from app.routes.report_files import parsed
from worker import jobs, races
from worker.jobs import FINISHED, Job, JobName, State

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MOST_FINDINGS = 50


@router.get("/races/{race_id}")
def race_page(race_id: str, request: Request, store: StoreDep, visitor: VisitorDep) -> Response:
    """The race as it is now."""
    job = find_job(store, visitor, race_id, JobName.RACE)
    about = _about(job) | {"runs": races.runs_of(store, race_id)}
    if job.state != State.SUCCEEDED:
        return page(request, "race_live.html", **about)
    report = parsed(job)
    assert isinstance(report, RaceReport)
    return page(
        request,
        "race.html",
        **about,
        report=report,
        arms=tables.arms(report),
        figures=figures(report),
        findings=_findings(report),
        footing=footing(report),
    )


@router.post("/races/{race_id}/cancel")
def cancel_race(race_id: str, store: StoreDep, visitor: VisitorDep) -> Response:
    """Cancel with all runs, and show what became of it."""
    find_job(store, visitor, race_id, JobName.RACE)
    jobs.cancel(store, race_id)
    return see_other(page_path(race_id, JobName.RACE))


def _about(job: Job) -> dict[str, Any]:
    training = job.spec.get("training") or {}
    arms = [arm for arm in job.spec.get("arms", ()) if isinstance(arm, dict)]
    patches = [(arm.get("patch") or {}).get("training") or {} for arm in arms]
    planned = [training.get("steps"), *(patch.get("steps") for patch in patches)]
    return {
        "job": job,
        "kind": "race",
        "description": described(job.kind, job.spec),
        "finished": job.state in FINISHED,
        "api": job_path(job.id, job.kind),
        "again": None,
        "steps": max((steps for steps in planned if isinstance(steps, int)), default=1),
        "arm_names": [str(arm.get("name")) for arm in arms],
    }


def _findings(report: RaceReport) -> Table | None:
    """What the monitors saw while training; none where they saw nothing."""
    found = [
        (arm.name, str(seed.seed), finding)
        for arm in report.arms
        for seed in arm.seeds
        for finding in seed.monitor.findings
    ]
    if not found:
        return None
    more = f", {MOST_FINDINGS} of {len(found):,}" if len(found) > MOST_FINDINGS else ""
    return Table(
        title=f"What the monitors saw{more}",
        headings=("arm", "seed", "rule", "where", "from step", "to step", "measured", "threshold"),
        numbers=frozenset({"seed", "from step", "to step", "measured", "threshold"}),
        names=frozenset({"arm", "where"}),
        rows=[
            (
                arm,
                seed,
                finding.rule,
                finding.path,
                str(finding.first_step),
                str(finding.last_step),
                number(finding.measured),
                number(finding.threshold),
            )
            for arm, seed, finding in found[:MOST_FINDINGS]
        ],
    )

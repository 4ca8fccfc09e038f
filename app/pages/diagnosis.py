"""The page of a diagnosis: first the verdict, then the cure, then the evidence."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from admin_core.figures.of_report import figures
from admin_core.omega_files import OmegaFormat
from admin_core.report import Report
from admin_core.report_files import tables
from admin_core.report_files.footing import footing
from app.deps import QueueDep, SettingsDep, StoreDep
from app.job_answers import DIAGNOSES, find_job
from app.job_view import job_path
from app.pages.describing import described, page_path
from app.pages.forms import read_form, whole
from app.pages.loading import recipes
from app.pages.page import PageRoute, VisitorDep, page, see_other
from app.pages.sublayers import Column, sublayer_rows
from app.pages.verdict_words import HEADLINES, in_words, measured_without_verdict, percent
from app.routes.prescriptions import race_asked_for
from app.routes.races import submit as submit_race
from app.routes.report_files import parsed
from app.verification import Verification
from worker import jobs
from worker.jobs import FINISHED, Job, JobName, Reuse, State

router = APIRouter(route_class=PageRoute, include_in_schema=False)

RACE_STEPS = 300
"""That are offered for a race, where the diagnosis is of more."""

OMEGA_FILES = {
    OmegaFormat.JSON: "stack, index, path and omega of each sub-layer",
    OmegaFormat.CLINIC: "Transformer-Clinic's profile.ratio.init",
    OmegaFormat.DEEPNMT: "deepnmt's profile.init",
    OmegaFormat.SAFETENSORS: "a tensor for each sub-layer, as admin-torch names them",
}


CITE = """\
@inproceedings{{liu2020understanding,
  title     = {{Understanding the Difficulty of Training Transformers}},
  author    = {{Liu, Liyuan and Liu, Xiaodong and Gao, Jianfeng and Chen, Weizhu and Han, Jiawei}},
  booktitle = {{Proceedings of EMNLP}},
  year      = {{2020}},
  note      = {{arXiv:2004.08249}}
}}
@software{{trimtab,
  title   = {{Trimtab}},
  version = {{{version}}},
  note    = {{Diagnosis {job_id}}}
}}"""


@router.get("/diagnoses/{job_id}")
def diagnosis_page(
    job_id: str,
    request: Request,
    store: StoreDep,
    visitor: VisitorDep,
    sort: Column = Column.INDEX,
    order: Annotated[str, Query(pattern="^(up|down)$")] = "up",
) -> Response:
    """The diagnosis as it is now."""
    job = find_job(store, visitor, job_id, *DIAGNOSES)
    if job.state != State.SUCCEEDED:
        return page(request, "unfinished.html", **_about(job))
    report = parsed(job)
    assert isinstance(report, Report)
    return page(
        request, "diagnosis.html", **_about(job), **_shown(job, report, request, sort, order)
    )


@router.post("/diagnoses/{job_id}/cancel")
def cancel_diagnosis(job_id: str, store: StoreDep, visitor: VisitorDep) -> Response:
    """Cancel, and show what became of it."""
    find_job(store, visitor, job_id, *DIAGNOSES)
    jobs.cancel(store, job_id)
    return see_other(page_path(job_id))


@router.post("/diagnoses/{job_id}/race")
async def race_prescription(
    job_id: str,
    request: Request,
    settings: SettingsDep,
    store: StoreDep,
    queue: QueueDep,
    visitor: VisitorDep,
) -> Response:
    """Race the model against one of its prescriptions; what a form of the page asks for."""
    form = await read_form(request)
    asked = Verification(
        diagnosis=job_id,
        prescription=whole(form, "prescription", lowest=0, highest=1_000),
        seeds=tuple(range(whole(form, "seeds", lowest=1, highest=1_000))),
        steps=whole(form, "steps", lowest=1, highest=10**9),
    )

    def submitted() -> str:
        race = race_asked_for(asked, settings, store, visitor)
        race_id, _ = submit_race(race, settings, store, queue, visitor, reuse=Reuse.ANY)
        return race_id

    return see_other(page_path(await run_in_threadpool(submitted), JobName.RACE))


def _about(job: Job) -> dict[str, Any]:
    """What is known of a job in any state."""
    return {
        "job": job,
        "kind": "pushed report" if job.kind == JobName.REPORT else "diagnosis",
        "description": described(job.kind, job.spec),
        "finished": job.state in FINISHED,
        "api": job_path(job.id, job.kind),
        "again": None if job.kind == JobName.REPORT else f"/new?from={job.id}",
    }


def _shown(job: Job, report: Report, request: Request, sort: Column, order: str) -> dict[str, Any]:
    verdict = report.verdict
    address = str(request.base_url).rstrip("/") + job_path(job.id)
    training = job.spec.get("training") or {}
    steps = training.get("steps") or RACE_STEPS
    return {
        "report": report,
        "verdict": verdict,
        "headline": verdict and HEADLINES[verdict.outcome],
        "words": in_words(verdict) if verdict else measured_without_verdict(report),
        "percent": percent,
        "edges": tables.EDGES,
        "further": tables.network(report),
        "growth": report.amplification and tables.growth(report.amplification),
        "rules": tables.rules(report),
        "figures": figures(report),
        "sublayers": sublayer_rows(report.branches, sort, descending=order == "down"),
        "columns": Column,
        "sort": sort,
        "order": order,
        "omega_files": OMEGA_FILES if any(b.omega is not None for b in report.branches) else {},
        "recipes": recipes(report, job.spec, f"{address}/omega"),
        "footing": footing(report),
        "address": address,
        "race_steps": min(steps, RACE_STEPS),
        "warmup": training.get("warmup_steps"),
        "cite": CITE.format(version=report.environment.trimtab, job_id=job.id),
        "can_race": job.kind == JobName.DIAGNOSIS,
    }

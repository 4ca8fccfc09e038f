"""The page of a training loop of the caller's own, as it tells where it is."""

from fastapi import APIRouter, Request, Response

from admin_core.watched_run import WatchedRunReport
from app.deps import StoreDep
from app.job_answers import find_job
from app.job_view import job_path
from app.pages.describing import described, page_path
from app.pages.page import PageRoute, VisitorDep, page, see_other
from worker import watched_runs
from worker.jobs import FINISHED, JobName

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/runs/{run_id}")
def run_page(run_id: str, request: Request, store: StoreDep, visitor: VisitorDep) -> Response:
    """The loop as far as it was told."""
    job = find_job(store, visitor, run_id, JobName.RUN)
    report = WatchedRunReport.model_validate(job.report or {})
    return page(
        request,
        "run.html",
        job=job,
        kind="watched run",
        description=described(job.kind, job.spec),
        finished=job.state in FINISHED,
        api=job_path(job.id, job.kind),
        again=None,
        report=report,
        steps=job.spec.get("steps") or max(1, report.last_step),
    )


@router.post("/runs/{run_id}/cancel")
def cancel_run(run_id: str, store: StoreDep, visitor: VisitorDep) -> Response:
    """Take no more points of it; the loop itself trains on."""
    find_job(store, visitor, run_id, JobName.RUN)
    watched_runs.cancel(store, run_id)
    return see_other(page_path(run_id, JobName.RUN))

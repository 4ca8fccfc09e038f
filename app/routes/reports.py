"""Reports that were made elsewhere, kept beside the service's own.

A model that nobody but its owner has the code of is diagnosed in a process of the owner's. Its
report can be pushed here, where it is shown, gated and drawn like any other. No code comes with it.
"""

from fastapi import APIRouter, Response, status
from starlette.concurrency import run_in_threadpool

from admin_core.errors import InvalidSpecError
from admin_core.figures.of_report import figures
from admin_core.report import Report
from admin_core.spec.parts import Part
from admin_core.spec.pushed import PushedSpec
from app.auth import CallerDep
from app.body import JsonRoute
from app.deps import IdempotencyKey, StoreDep
from app.job_answers import submitted
from app.job_view import JobView, job_json
from app.problems import documented
from app.routes.diagnoses import find
from worker import jobs

router = APIRouter(prefix="/v1", tags=["diagnoses"], route_class=JsonRoute)


class PushedReport(Part):
    """A report, and what it is of."""

    spec: PushedSpec
    report: Report


@router.post(
    "/reports",
    status_code=status.HTTP_200_OK,
    response_model=JobView,
    responses={
        200: {"description": "Kept; `Location` says where."},
        **documented(400, 413, 415, 422, 500),
    },
)
async def push_report(
    pushed: PushedReport,
    store: StoreDep,
    caller: CallerDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Keep a report that `trimtab diagnose --push` or the library has made."""
    try:
        await run_in_threadpool(figures, pushed.report)
    except (ArithmeticError, LookupError, ValueError):
        raise InvalidSpecError(
            "report", "has lists whose lengths do not fit together; push it as it was made"
        ) from None
    job_id, new = await run_in_threadpool(
        jobs.keep_report,
        store,
        pushed.spec.model_dump(mode="json"),
        pushed.report.model_dump(mode="json"),
        idempotency_key=idempotency_key,
        requester=caller.requester,
    )
    job = await run_in_threadpool(find, store, caller, job_id)
    return submitted(job_json(job), reused=not new)

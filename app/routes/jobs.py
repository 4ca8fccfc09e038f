"""The list of all jobs."""

from typing import Annotated

from fastapi import APIRouter, Query

from admin_core.report import Outcome
from app.auth import CallerDep
from app.deps import StoreDep
from app.job_view import JobKind, JobPage, summary_view
from app.problems import documented
from worker import jobs
from worker.jobs import State

router = APIRouter(prefix="/v1", tags=["jobs"])


@router.get("/jobs", responses=documented(422, 500))
def list_jobs(
    store: StoreDep,
    caller: CallerDep,
    kind: JobKind | None = None,
    state: State | None = None,
    outcome: Outcome | None = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Jobs on a page.")] = 50,
    cursor: Annotated[
        str | None,
        Query(pattern="^[0-9a-f-]{36}$", description="The `next_cursor` of the page before."),
    ] = None,
) -> JobPage:
    """All jobs of the key, newest first; of every key for one of scope `admin`."""
    # One more than asked for shows whether there is another page.
    found = jobs.newest(
        store,
        limit=limit + 1,
        before=cursor,
        kind=kind,
        state=state,
        outcome=outcome,
        key_id=None if caller.sees_all else caller.key_id,
    )
    return JobPage(
        jobs=[summary_view(job) for job in found[:limit]],
        next_cursor=found[limit - 1].id if len(found) > limit else None,
    )

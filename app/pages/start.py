"""The start page: what was asked lately, newest first, and what became of it."""

from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from admin_core.report import Outcome
from app.auth import Caller
from app.deps import StoreDep
from app.job_view import JobKind
from app.pages.describing import described
from app.pages.page import PageRoute, VisitorDep, page
from worker import jobs
from worker.jobs import JobName, JobSummary, State
from worker.store import Store

router = APIRouter(route_class=PageRoute, include_in_schema=False)

ROWS = 25

KINDS = {
    JobName.DIAGNOSIS: "diagnosis",
    JobName.RACE: "race",
    JobName.RUN: "watched run",
    JobName.REPORT: "pushed report",
}

FILTERS = (
    ("kind", "Kind", [(kind.value, words) for kind, words in KINDS.items()]),
    ("state", "State", [(state.value, state.value) for state in State]),
    ("outcome", "Verdict", [(o.value, o.value.replace("_", " ")) for o in Outcome]),
)

CURL = """\
curl '{url}v1/diagnoses?wait=60' \\
  -H 'content-type: application/json' -d '
  {{"model": {{"architecture": "decoder_only",
             "decoder_layers": 12, "d_model": 64,
             "num_heads": 2, "scheme": "post_ln"}}}}'"""

Any_ = Literal[""]
"""What a form sends of a choice that was not made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One job of the list."""

    job: JobSummary
    kind: str
    description: str
    seconds: float | None
    """From the first attempt to the end; none while it is not finished."""
    comparable: bool


@router.get("/")
def start_page(
    request: Request,
    store: StoreDep,
    visitor: VisitorDep,
    kind: JobKind | Any_ = "",
    state: State | Any_ = "",
    outcome: Outcome | Any_ = "",
    cursor: Annotated[str | None, Query(max_length=36)] = None,
) -> Response:
    """Jobs in pages, with filters."""
    chosen = {"kind": kind, "state": state, "outcome": outcome}
    wanted = {name: str(value) for name, value in chosen.items() if value}
    found = jobs.newest(store, limit=ROWS + 1, before=cursor, key_id=shown_key(visitor), **wanted)
    last = found[ROWS - 1].id if len(found) > ROWS else None
    return page(
        request,
        "start.html",
        rows=rows_of(store, found[:ROWS]),
        filters=FILTERS,
        filtered=bool(wanted),
        cursor=cursor,
        first_page="/?" + urlencode(wanted),
        next_page=last and "/?" + urlencode({**wanted, "cursor": last}),
        curl=CURL.format(url=request.base_url),
    )


def shown_key(visitor: Caller) -> str | None:
    """Whose jobs are listed; none means everybody's."""
    return None if visitor.sees_all else visitor.key_id


def rows_of(store: Store, found: list[JobSummary]) -> list[Row]:
    """The jobs in words, in the same order."""
    specs = jobs.specs_of(store, [job.id for job in found])
    return [_row(job, specs[job.id]) for job in found if job.id in specs]


def _row(job: JobSummary, spec: dict[str, object]) -> Row:
    begun, ended = job.started_at, job.finished_at
    return Row(
        job=job,
        kind=KINDS[JobName(job.kind)],
        description=described(job.kind, spec),
        seconds=None if begun is None or ended is None else ended - begun,
        comparable=job.state == State.SUCCEEDED and job.kind != JobName.RUN,
    )

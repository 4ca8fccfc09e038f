"""Several jobs side by side: what differs in what was asked, and in what came of it."""

from collections import defaultdict
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Annotated, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from admin_core.comparison import Compared, cells, compare
from admin_core.figures.comparison import OF_COMPARISON, comparison
from admin_core.figures.figure import FigureFormat
from admin_core.figures.theme import Layout
from admin_core.race_report import RaceReport
from admin_core.report import Report
from admin_core.report_files.tables import words
from app.auth import Caller
from app.deps import DrawingDep, StoreDep
from app.drawing import DrawingError
from app.job_answers import DIAGNOSES, find_job
from app.pages.describing import described
from app.pages.page import PageRoute, VisitorDep, page
from app.pages.start import Row, rows_of, shown_key
from app.problems import CANNOT_DRAW, NOT_FOUND, ProblemError
from app.routes.report_files import INERT, MEDIA_TYPES, FigureTheme, parsed
from worker import jobs
from worker.jobs import Job, JobName, State
from worker.store import Store

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MOST_JOBS = 8

JobIds = Annotated[list[str] | None, Query(alias="job", max_length=100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """One of the jobs."""

    letter: str
    """Stands for it everywhere on the page."""
    job: Job
    description: str
    report: Report | RaceReport

    @property
    def label(self) -> str:
        """In the legend of a figure."""
        return f"{self.letter}  {self.description}"[:60]


class SideBySide(NamedTuple):
    """The rows of one kind of jobs, by what they belong to."""

    kind: str
    letters: list[str]
    groups: dict[str, list[tuple[str, list[str], bool]]]
    """Of each row the quantity, the values, and whether they differ."""


@router.get("/compare")
def compare_page(
    request: Request, store: StoreDep, visitor: VisitorDep, job_ids: JobIds = None
) -> Response:
    """The jobs beside each other; with fewer than two, a list to choose from."""
    chosen = _chosen(store, visitor, job_ids or [])
    if len(chosen) < 2:
        rows = _choices(store, visitor)
        return page(request, "choose.html", rows=rows, chosen=job_ids or [])
    diagnoses = [each for each in chosen if isinstance(each.report, Report)]
    races = [each for each in chosen if isinstance(each.report, RaceReport)]
    together = [each for each in (diagnoses, races) if len(each) > 1]
    return page(
        request,
        "compare.html",
        chosen=chosen,
        tables=[_side_by_side(each) for each in together],
        figures=comparison({each.label: each.report for each in chosen}),
        figure_query="&" + urlencode([("job", each.job.id) for each in chosen]),
    )


@router.get("/compare/figures/{name}.svg")
async def comparison_figure(
    name: str,
    store: StoreDep,
    drawing: DrawingDep,
    visitor: VisitorDep,
    job_ids: JobIds = None,
    theme: FigureTheme = FigureTheme.LIGHT,
    layout: Layout = Layout.WIDE,
) -> Response:
    """One figure of all of them."""
    chosen = await run_in_threadpool(_chosen, store, visitor, job_ids or [])
    reports = {each.label: each.report for each in chosen}
    declared = await run_in_threadpool(comparison, reports)
    if name not in OF_COMPARISON or name not in {figure.name for figure in declared}:
        raise ProblemError(NOT_FOUND.problem("These jobs have no figure of this name in common."))
    try:
        drawn = await drawing.comparison(
            {each.label: each.job for each in chosen}, name, theme=theme, layout=layout
        )
    except DrawingError:
        raise ProblemError(CANNOT_DRAW.problem("The service's log says why.")) from None
    return Response(
        drawn,
        media_type=MEDIA_TYPES[FigureFormat.SVG],
        headers={"Content-Security-Policy": INERT, "X-Content-Type-Options": "nosniff"},
    )


def _chosen(store: Store, visitor: Caller, job_ids: list[str]) -> list[Chosen]:
    """The finished jobs of these ids, in this order; raises a problem if one is not there."""
    known = list(dict.fromkeys(job_ids))[:MOST_JOBS]
    found = [find_job(store, visitor, job_id, *DIAGNOSES, JobName.RACE) for job_id in known]
    finished = [job for job in found if job.state == State.SUCCEEDED]
    return [
        Chosen(
            letter=letter,
            job=job,
            description=described(job.kind, job.spec),
            report=parsed(job),
        )
        for letter, job in zip(ascii_uppercase, finished, strict=False)
    ]


def _choices(store: Store, visitor: Caller) -> list[Row]:
    found = jobs.newest(store, limit=50, state=State.SUCCEEDED, key_id=shown_key(visitor))
    return [row for row in rows_of(store, found) if row.comparable]


def _side_by_side(chosen: list[Chosen]) -> SideBySide:
    compared = compare(
        [Compared(name=c.letter, report=c.report, request=c.job.spec) for c in chosen]
    )
    groups: dict[str, list[tuple[str, list[str], bool]]] = defaultdict(list)
    for row in compared.rows:
        groups[words(row.group)].append((row.quantity, cells(row), row.differs))
    # What was asked comes last, as what came of it is what one looks for.
    groups = dict(sorted(groups.items(), key=lambda item: item[0] == "request"))
    return SideBySide(compared.kind, [each.letter for each in chosen], groups)

"""Reports as files for people, pull requests and CI systems; and their figures."""

import hashlib
import json
from enum import StrEnum
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from admin_core.figures.figure import Figure, FigureFormat
from admin_core.figures.of_report import OF_DIAGNOSIS, OF_RACE, figures
from admin_core.figures.theme import Layout, Theme, vega_lite
from admin_core.race_report import RaceReport
from admin_core.report import Outcome, Report
from admin_core.report_files.about import About
from admin_core.report_files.of_report import ReportFormat, report_file
from admin_core.report_files.security import content_security_policy
from app.auth import CallerDep
from app.deps import DrawingDep, StoreDep, Wait, WaitingDep
from app.drawing import DrawingError
from app.job_answers import DIAGNOSES, finished_job, is_known
from app.problems import CANNOT_DRAW, NOT_FOUND, OLD_REPORT, ProblemError, documented
from app.routes.gate import FailOn
from worker.jobs import Job, JobName

router = APIRouter(prefix="/v1")


class FileFormat(StrEnum):
    """As an address ends."""

    HTML = "html"
    MARKDOWN = "md"
    JSON = "json"


class FigureTheme(StrEnum):
    """The background that a figure is drawn for."""

    LIGHT = "light"
    DARK = "dark"


MEDIA_TYPES = {
    FileFormat.HTML: "text/html; charset=utf-8",
    FileFormat.MARKDOWN: "text/markdown; charset=utf-8",
    FileFormat.JSON: "application/json",
    FigureFormat.SVG: "image/svg+xml; charset=utf-8",
    FigureFormat.PNG: "image/png",
}

INERT = "default-src 'none'; style-src 'unsafe-inline'"
"""Of an SVG, in which there is nothing to run; should there ever be, it does not."""

_ERRORS = documented(404, 422, 424, 500, 503)
_UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Still as the `ETag` in `If-None-Match` says."}
}


def _file(*media_types: str) -> dict[int | str, dict[str, Any]]:
    content = {}
    for media_type in (each.partition(";")[0] for each in media_types):
        type_of_content = "object" if media_type == "application/json" else "string"
        content[media_type] = {"schema": {"type": type_of_content}}
    return {200: {"description": "The file.", "content": content}, **_UNCHANGED, **_ERRORS}


_REPORT = _file(*(MEDIA_TYPES[each] for each in FileFormat))
_FIGURE = _file(*(MEDIA_TYPES.get(each, "application/json") for each in FigureFormat))

Suffix = Annotated[FileFormat, Path(description="`html`, `md` or `json`.")]
FigureSuffix = Annotated[FigureFormat, Path(description="`svg`, `png`, or Vega-Lite as `json`.")]
ThemeQuery = Annotated[FigureTheme, Query(description="The background it is drawn for.")]
LayoutQuery = Annotated[
    Layout, Query(description="`narrow` has its panels below each other; of SVG and JSON.")
]


@router.get(
    "/diagnoses/{job_id}/report.{suffix}",
    tags=["diagnoses"],
    response_class=Response,
    responses=_REPORT,
)
async def get_diagnosis_report(
    job_id: str,
    suffix: Suffix,
    request: Request,
    store: StoreDep,
    waiting: WaitingDep,
    caller: CallerDep,
    drawing: DrawingDep,
    wait: Wait = 0,
) -> Response:
    """The report: a page that opens without a network, Markdown for a pull request, or JSON."""
    job = await finished_job(store, waiting, caller, job_id, DIAGNOSES, wait)
    return await _report(job, suffix, request, drawing)


@router.get(
    "/races/{race_id}/report.{suffix}",
    tags=["races"],
    response_class=Response,
    responses=_REPORT,
)
async def get_race_report(
    race_id: str,
    suffix: Suffix,
    request: Request,
    store: StoreDep,
    waiting: WaitingDep,
    caller: CallerDep,
    drawing: DrawingDep,
    wait: Wait = 0,
) -> Response:
    """The report: a page that opens without a network, Markdown for a pull request, or JSON."""
    job = await finished_job(store, waiting, caller, race_id, (JobName.RACE,), wait)
    return await _report(job, suffix, request, drawing)


@router.get(
    "/diagnoses/{job_id}/junit.xml",
    tags=["diagnoses"],
    response_class=Response,
    responses=_file("application/xml"),
)
async def get_junit(
    job_id: str,
    request: Request,
    store: StoreDep,
    waiting: WaitingDep,
    caller: CallerDep,
    fail_on: FailOn = FailOn.UNSTABLE,
    wait: Wait = 0,
) -> Response:
    """One test case for each rule. Rules of the verdict fail, the others only say what they saw."""
    job = await finished_job(store, waiting, caller, job_id, DIAGNOSES, wait)
    tag = _etag(job, f"junit.{fail_on}")
    if is_known(tag, request):
        return Response(status_code=304, headers={"ETag": tag})
    report = parsed(job)
    text = report_file(report, ReportFormat.JUNIT, _about(job), fail_on=Outcome(fail_on))
    return _answer(text, "application/xml", tag, f"{_file_name(job)}.junit.xml")


@router.get(
    "/diagnoses/{job_id}/figures/{name}.{suffix}",
    tags=["diagnoses"],
    response_class=Response,
    responses=_FIGURE,
)
async def get_diagnosis_figure(
    job_id: str,
    name: str,
    suffix: FigureSuffix,
    request: Request,
    store: StoreDep,
    waiting: WaitingDep,
    caller: CallerDep,
    drawing: DrawingDep,
    theme: ThemeQuery = FigureTheme.LIGHT,
    layout: LayoutQuery = Layout.WIDE,
    wait: Wait = 0,
) -> Response:
    """`branches`, `omega`, `amplification`, `dependency`, `gradients` or `attention_logits`."""
    job = await finished_job(store, waiting, caller, job_id, DIAGNOSES, wait)
    return await _figure(job, name, suffix, (Theme(theme), layout), request, drawing)


@router.get(
    "/races/{race_id}/figures/{name}.{suffix}",
    tags=["races"],
    response_class=Response,
    responses=_FIGURE,
)
async def get_race_figure(
    race_id: str,
    name: str,
    suffix: FigureSuffix,
    request: Request,
    store: StoreDep,
    waiting: WaitingDep,
    caller: CallerDep,
    drawing: DrawingDep,
    theme: ThemeQuery = FigureTheme.LIGHT,
    layout: LayoutQuery = Layout.WIDE,
    wait: Wait = 0,
) -> Response:
    """`curves`, `outcomes` or `gradient_norms`."""
    job = await finished_job(store, waiting, caller, race_id, (JobName.RACE,), wait)
    return await _figure(job, name, suffix, (Theme(theme), layout), request, drawing)


async def _report(job: Job, suffix: FileFormat, request: Request, drawing: DrawingDep) -> Response:
    tag = _etag(job, f"report.{suffix}")
    if is_known(tag, request):
        return Response(status_code=304, headers={"ETag": tag})
    report = await run_in_threadpool(parsed, job)
    headers = {}
    content: bytes | str
    if suffix is FileFormat.HTML:
        headers["Content-Security-Policy"] = f"{content_security_policy()}; frame-ancestors 'none'"
        try:
            content = await drawing.html(job, title=_about(job).title)
        except DrawingError:
            raise ProblemError(CANNOT_DRAW.problem(_TRY_OTHERS)) from None
    else:
        content = await run_in_threadpool(report_file, report, ReportFormat(suffix), _about(job))
    file_name = f"{_file_name(job)}.{suffix}"
    return _answer(content, MEDIA_TYPES[suffix], tag, file_name, headers)


async def _figure(
    job: Job,
    name: str,
    suffix: FigureFormat,
    look: tuple[Theme, Layout],
    request: Request,
    drawing: DrawingDep,
) -> Response:
    theme, layout = look
    tag = _etag(job, f"{name}.{theme}.{layout}.{suffix}")
    # Names are few, so that an unknown one is refused before anything is drawn.
    if name not in (OF_RACE if job.kind == JobName.RACE else OF_DIAGNOSIS):
        raise _no_figure(job, name)
    if is_known(tag, request):
        return Response(status_code=304, headers={"ETag": tag})
    declared = {figure.name: figure for figure in await run_in_threadpool(_figures, job)}
    if name not in declared:
        raise _no_figure(job, name, list(declared))
    headers = {"Content-Security-Policy": INERT}
    content: bytes | str
    try:
        match suffix:
            case FigureFormat.SVG:
                content = await drawing.svg(job, name, theme=theme, layout=layout)
            case FigureFormat.PNG:
                content = await drawing.png(job, name, theme=theme)
            case FigureFormat.JSON:
                content = json.dumps(vega_lite(declared[name], theme, layout), allow_nan=False)
    except DrawingError:
        raise ProblemError(CANNOT_DRAW.problem(_TRY_OTHERS)) from None
    media_type = MEDIA_TYPES.get(suffix, "application/json")
    return _answer(content, media_type, tag, f"{_file_name(job)}-{name}.{suffix}", headers)


_TRY_OTHERS = (
    "The process that draws has failed; the service's log says how. Markdown and JSON need no "
    "drawing."
)


def _no_figure(job: Job, name: str, there: list[str] | None = None) -> ProblemError:
    if there is None:
        there = list(OF_RACE if job.kind == JobName.RACE else OF_DIAGNOSIS)
        detail = f"A {job.kind} has no figure of this name; it may have {', '.join(there)}."
    else:
        detail = (
            f"This {job.kind} has nothing to show as {name}, as it was not measured; it has "
            f"{', '.join(there) or 'no figure'}."
        )
    return ProblemError(NOT_FOUND.problem(detail))


def _figures(job: Job) -> list[Figure]:
    return figures(parsed(job))


def parsed(job: Job) -> Report | RaceReport:
    """The report; raises a problem if it was stored by a version that wrote others."""
    form = RaceReport if job.kind == JobName.RACE else Report
    try:
        return form.model_validate(job.report)
    except ValidationError:
        raise ProblemError(
            OLD_REPORT.problem(
                f"The {job.kind}'s report was written by another version of Trimtab. It is in the "
                "job as it was stored; submit the same spec again for one that can be drawn."
            )
        ) from None


def _about(job: Job) -> About:
    return About(title=f"Trimtab {job.kind} {job.id}", request=job.spec)


def _file_name(job: Job) -> str:
    """Of letters, digits and hyphens, as kind and id are."""
    return f"trimtab-{job.kind}-{job.id}"


def _etag(job: Job, what: str) -> str:
    # A finished job's report never changes; how it is drawn may, from version to version.
    named = f"{version('trimtab')} {job.id} {what}"
    return f'"{hashlib.sha256(named.encode()).hexdigest()[:32]}"'


def _answer(
    content: bytes | str,
    media_type: str,
    tag: str,
    file_name: str,
    headers: dict[str, str] | None = None,
) -> Response:
    return Response(
        content,
        media_type=media_type,
        headers={
            "ETag": tag,
            "Content-Disposition": f'inline; filename="{file_name}"',
            "X-Content-Type-Options": "nosniff",
            **(headers or {}),
        },
    )

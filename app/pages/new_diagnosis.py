"""Asking for a diagnosis: presets, a form for the common fields, and the JSON beside it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from admin_core.errors import InvalidSpecError
from admin_core.spec import DiagnosisSpec
from app.deps import QueueDep, SettingsDep, StoreDep
from app.field_errors import field_errors
from app.job_answers import find_job
from app.pages import fields
from app.pages.describing import page_path
from app.pages.forms import one, read_form
from app.pages.page import PageRoute, VisitorDep, page, pretty, see_other
from app.pages.spec_form import (
    Form,
    NoJsonError,
    form_of_spec,
    place_of,
    read_json,
    spec_of_form,
)
from app.presets import PRESETS
from app.problems import NOT_FOUND, ProblemError
from app.routes.diagnoses import submit
from worker.jobs import JobName, Reuse
from worker.problem import FieldError

router = APIRouter(route_class=PageRoute, include_in_schema=False)

FIRST = "demo-18-18-post-ln"
"""The preset that an empty form begins with: seconds on a CPU, and not stable."""


@router.get("/new")
def new_diagnosis(
    request: Request,
    store: StoreDep,
    visitor: VisitorDep,
    preset: Annotated[str | None, Query(max_length=100)] = None,
    again: Annotated[str | None, Query(alias="from", max_length=100)] = None,
) -> Response:
    """The form, filled in by a preset or with what another diagnosis was asked."""
    if again is not None:
        spec = find_job(store, visitor, again, JobName.DIAGNOSIS).spec
    else:
        spec = {"model": _model(preset or FIRST)}
    return _form_page(request, form_of_spec(spec), pretty(spec), preset=preset)


@router.post("/new")
async def ask(
    request: Request, settings: SettingsDep, store: StoreDep, queue: QueueDep, visitor: VisitorDep
) -> Response:
    """Submit it; or the form once more, with what is wrong where it stands."""
    form = await read_form(request)
    only_json = one(form, "by") == "json"
    text = one(form, "json")
    try:
        spec = read_json(text, "json") if only_json else spec_of_form(form)
    except NoJsonError as error:
        return _refused(request, form, text, [(error.field, error.field, error.message)])
    if only_json:
        form = form_of_spec(spec)
    else:
        text = pretty(spec)
    try:
        asked = DiagnosisSpec.model_validate(spec)
        reuse = Reuse.NONE if one(form, "fresh") else Reuse.ANY
        job_id, _ = await run_in_threadpool(
            submit, asked, settings, store, queue, visitor, reuse=reuse
        )
    except ValidationError as error:
        errors = field_errors(error.errors(), spec)
    except InvalidSpecError as error:
        errors = [FieldError(field=error.field, message=error.reason, type="invalid")]
    else:
        return see_other(page_path(job_id))
    shown = [(place_of(each.field, form), each.field, each.message) for each in errors]
    return _refused(request, form, text, shown)


def _refused(
    request: Request, form: Form, text: str, errors: list[tuple[str, str, str]]
) -> Response:
    """The form with its errors: for each the field, the path in the spec, and what is wrong."""
    return _form_page(request, form, text, errors=errors, status=422)


def _form_page(
    request: Request,
    form: Form,
    text: str,
    *,
    preset: str | None = None,
    errors: list[tuple[str, str, str]] | None = None,
    status: int = 200,
) -> Response:
    at: dict[str, str] = {}
    for place, path, message in errors or []:
        told = message if place == path else f"{path}: {message}"
        at[place] = f"{at[place]} {told}" if place in at else told
    return page(
        request,
        "new.html",
        status,
        form=form,
        json=text,
        presets=_grouped(),
        preset=preset,
        errors=errors or [],
        errors_at=at,
        fields=fields,
    )


def _model(name: str) -> dict[str, Any]:
    for preset in PRESETS:
        if preset.name == name:
            return preset.model.model_dump(mode="json", exclude_unset=True)
    raise ProblemError(NOT_FOUND.problem("There is no preset of this name."))


def _grouped() -> dict[str, list[tuple[str, str]]]:
    """Presets with their descriptions, under what their names begin with."""
    titles = {
        "demo": "Small enough for a CPU",
        "paper": "Of the paper",
        "huggingface": "As Transformers builds them",
    }
    groups: dict[str, list[tuple[str, str]]] = {title: [] for title in titles.values()}
    for preset in PRESETS:
        title = titles.get(preset.name.partition("-")[0], "Well-known shapes")
        groups.setdefault(title, []).append((preset.name, preset.description))
    return groups

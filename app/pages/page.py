"""How a page is made: one template engine that escapes whatever it is given, one set of headers,
and problems that are shown as pages too.

Nothing of a page comes from another host. Scripts and styles are files of this package, and the
Content-Security-Policy allows no other: no inline script, no inline style, no frame.
"""

import hashlib
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from admin_core.errors import AdminCoreError
from admin_core.report_files.tables import edge_value, number, words
from app.auth import SAFE_METHODS, SESSION_COOKIE, Caller, admit
from app.pages.describing import page_path
from app.problems import KEY_NEEDED, ProblemError, no_room
from worker.jobs import QueueFullError, TooManyJobsError
from worker.keys import Scope
from worker.problem import INVALID_REQUEST, Problem, problem_of

STATIC = files("app.pages") / "static"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    # Pages show what is now, and to whom it belongs.
    "Cache-Control": "no-store",
}


class PageRoute(APIRoute):
    """A route that answers with a page, also where it refuses."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_page(request: Request) -> Response:
            try:
                return await handle(request)
            except ProblemError as error:
                return problem_page(request, error.problem)
            except AdminCoreError as error:
                return problem_page(request, problem_of(error))
            except (TooManyJobsError, QueueFullError) as error:
                return problem_page(request, no_room(error))
            except RequestValidationError:
                return problem_page(
                    request,
                    INVALID_REQUEST.problem(
                        "The address holds something that this page does not know."
                    ),
                )

        return handle_page


def visitor(request: Request) -> Caller:
    """Who looks at the page, if they may; raises a problem if not."""
    scope = Scope.READ if request.method in SAFE_METHODS else Scope.SUBMIT
    found = admit(request, scope)
    request.state.visitor = found
    return found


VisitorDep = Annotated[Caller, Depends(visitor)]
"""On whose behalf a form is posted, and whose jobs are shown."""


def page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """The template as an answer."""
    rendered = (
        _templates()
        .get_template(template)
        .render(
            here=request.url.path,
            query=request.query_params,
            visitor=getattr(request.state, "visitor", None),
            signed_in=SESSION_COOKIE in request.cookies,
            **context,
        )
    )
    return HTMLResponse(rendered, status, HEADERS)


def problem_page(request: Request, problem: Problem) -> HTMLResponse:
    """What went wrong, in words; where a key is needed, the form that takes one."""
    if problem.status == KEY_NEEDED.status:
        there = request.url.path if request.method in SAFE_METHODS else "/"
        query = f"?{request.url.query}" if request.url.query and there != "/" else ""
        return page(request, "sign_in.html", problem.status, there=there + query, wrong=False)
    return page(request, "problem.html", problem.status, problem=problem)


def see_other(path: str) -> RedirectResponse:
    """After a form was posted: look there."""
    return RedirectResponse(path, 303)


def asset(name: str) -> str:
    """The address of a static file, which changes with its content."""
    return f"/assets/{name}?v={_digest(name)}"


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


@cache
def _templates() -> Environment:
    templates = Environment(
        # Tables are those of the report in a file.
        loader=ChoiceLoader([PackageLoader("app.pages"), PackageLoader("admin_core.report_files")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals |= {
        "asset": asset,
        "page_path": page_path,
        "version": version("trimtab"),
        "edge_value": edge_value,
    }
    templates.filters |= {
        "ago": ago,
        "compact": compact,
        "duration": duration,
        "iso": iso,
        "number": number,
        "pretty": pretty,
        "words": words,
    }
    return templates


def iso(seconds: float) -> str:
    """A moment, for machines and for the curious."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(seconds: float) -> str:
    """How long ago a moment was: ``3 min ago``."""
    gone = max(0.0, datetime.now(UTC).timestamp() - seconds)
    if gone < 5:
        return "just now"
    if gone < 7 * 86_400:
        return f"{duration(gone)} ago"
    return datetime.fromtimestamp(seconds, UTC).strftime("%-d %b %Y")


def duration(seconds: float) -> str:
    """A time span in its largest unit or two: ``0.8 s``, ``14 s``, ``3 min``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days = round(hours / 24)
    return f"{days} day" + ("s" if days > 1 else "")


def pretty(value: object) -> str:
    """JSON as a person reads it."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def compact(value: object) -> str:
    """JSON on one line where that is a short one."""
    line = json.dumps(value, ensure_ascii=False)
    return line if len(line) <= 80 else pretty(value)

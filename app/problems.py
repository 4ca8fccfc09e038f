"""RFC 9457 problem details: the one place where errors meet HTTP."""

import re
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from admin_core.errors import AdminCoreError
from app.field_errors import field_errors, summary
from app.job_view import job_path
from worker.jobs import IdempotencyKeyReusedError, Job, QueueFullError, TooManyJobsError
from worker.persistence import AWAY
from worker.problem import INVALID_REQUEST, UNEXPECTED, FieldError, Kind, Problem, problem_of

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

NOT_FOUND = Kind("not-found", HTTPStatus.NOT_FOUND, "There is no such thing")
GATE_FAILED = Kind("gate-failed", HTTPStatus.CONFLICT, "The verdict fails the gate")
NO_REPORT = Kind("no-report", HTTPStatus.FAILED_DEPENDENCY, "There is no report")
OLD_REPORT = Kind("old-report", HTTPStatus.FAILED_DEPENDENCY, "The report is of another version")
CANNOT_DRAW = Kind("cannot-draw", HTTPStatus.INTERNAL_SERVER_ERROR, "The report could not be drawn")
NO_VERDICT = Kind("no-verdict", HTTPStatus.FAILED_DEPENDENCY, "There is no verdict to judge")
NOTHING_PRESCRIBED_YET = Kind(
    "nothing-prescribed-yet", HTTPStatus.CONFLICT, "The diagnosis is not finished"
)
KEY_NEEDED = Kind("key-needed", HTTPStatus.UNAUTHORIZED, "A key is needed")
SCOPE_MISSING = Kind("scope-missing", HTTPStatus.FORBIDDEN, "The key does not allow this")
RATE_LIMITED = Kind("rate-limited", HTTPStatus.TOO_MANY_REQUESTS, "Too many requests")
TOO_MANY_JOBS = Kind(
    "too-many-jobs", HTTPStatus.TOO_MANY_REQUESTS, "The key has all the jobs that it may have"
)
TOO_MANY_STREAMS = Kind(
    "too-many-streams", HTTPStatus.TOO_MANY_REQUESTS, "Too many event streams are open"
)
QUEUE_FULL = Kind("queue-full", HTTPStatus.SERVICE_UNAVAILABLE, "The queue is full")
RUN_OVER = Kind("run-over", HTTPStatus.CONFLICT, "The run has ended")
RUN_FULL = Kind("run-full", HTTPStatus.CONFLICT, "The run has all the points that it may have")
UNFINISHED = Kind("unfinished", HTTPStatus.SERVICE_UNAVAILABLE, "The job is not finished")
DATABASE_AWAY = Kind(
    "database-away", HTTPStatus.SERVICE_UNAVAILABLE, "The database does not answer"
)
NOT_READY = Kind("not-ready", HTTPStatus.SERVICE_UNAVAILABLE, "The service is not ready")
TOO_SLOW = Kind("body-too-slow", HTTPStatus.REQUEST_TIMEOUT, "The body did not come in time")
TOO_LARGE = Kind(
    "body-too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is above the limit"
)
NOT_JSON = Kind("not-json", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is not declared as JSON")
UNKNOWN_FORMAT = Kind(
    "unknown-format", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The file is of no kind that can be read"
)
CROSS_ORIGIN = Kind("cross-origin", HTTPStatus.FORBIDDEN, "Another site may not ask this")
DATASET_IN_USE = Kind("dataset-in-use", HTTPStatus.CONFLICT, "A job reads the data set")
MALFORMED_JSON = Kind("malformed-json", HTTPStatus.BAD_REQUEST, "The body is not JSON")
KEY_REUSED = Kind(
    "idempotency-key-reused",
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "The idempotency key stands for another request",
)


class ProblemError(HTTPException):
    """A refusal that is already in the words of the answer.

    An HTTPException, because FastAPI lets no other pass while it reads a body.
    """

    def __init__(self, problem: Problem, headers: dict[str, str] | None = None) -> None:
        super().__init__(problem.status, problem.detail, headers)
        self.problem = problem


RETRY_AFTER_SECONDS = 1
FULL_RETRY_AFTER_SECONDS = 10
"""Jobs take seconds to minutes, so that there is no room again at once."""


def unfinished(job: Job) -> ProblemError:
    """Of a job whose result was asked for too early; tells curl's ``--retry`` when to ask again."""
    return ProblemError(
        UNFINISHED.problem(
            f"The {job.kind} is {job.state}; ask again.",
            state=job.state,
            links={job.kind: job_path(job.id, job.kind)},
        ),
        {"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE

    def __init__(self, problem: Problem, headers: dict[str, str] | None = None) -> None:
        super().__init__(problem.as_json(), problem.status, headers)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses=` of a route that may answer with these problems."""
    return {status: {"model": Problem} for status in statuses}


def add_problems(app: FastAPI) -> None:
    """Let every error leave `app` as a problem, in its answers and in its OpenAPI document."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(AdminCoreError, _core_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(IdempotencyKeyReusedError, _key_reused)
    app.add_exception_handler(TooManyJobsError, _no_room)
    app.add_exception_handler(QueueFullError, _no_room)
    for away in AWAY:
        app.add_exception_handler(away, _database_away)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_problems(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    description=app.description,
                    routes=app.routes,
                )
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


async def _problem(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, ProblemError)
    return ProblemResponse(error.problem, dict(error.headers or {}))


async def _core_error(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, AdminCoreError)
    return ProblemResponse(problem_of(error))


async def _invalid_request(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    # "body" is where almost all fields are; the other places have names of their own.
    shortened = [entry | {"loc": entry["loc"][1:]} for entry in error.errors()]
    in_body = any(entry["loc"][0] == "body" for entry in error.errors())
    body = error.body if in_body else _parameters(shortened)
    errors = field_errors(shortened, body)
    return ProblemResponse(INVALID_REQUEST.problem(summary(errors), errors=errors))


def _parameters(errors: list[dict[str, Any]]) -> dict[str, None]:
    return {str(step): None for entry in errors for step in entry["loc"]}


async def _key_reused(_: Request, __: Exception) -> ProblemResponse:
    return ProblemResponse(
        KEY_REUSED.problem(
            "This Idempotency-Key came before, with another body. Send the same body again, or "
            "choose a new key.",
            errors=[
                FieldError(
                    field="Idempotency-Key",
                    message="Stands for another body",
                    type="idempotency_key_reused",
                )
            ],
        )
    )


async def _no_room(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, TooManyJobsError | QueueFullError)
    return ProblemResponse(no_room(error), {"Retry-After": str(FULL_RETRY_AFTER_SECONDS)})


def no_room(error: TooManyJobsError | QueueFullError) -> Problem:
    """Of a request that would be one job too many."""
    if isinstance(error, TooManyJobsError):
        return TOO_MANY_JOBS.problem(
            f"A key may have {error.limit:,} jobs queued or running. Wait for one to end, cancel "
            "one, or raise TRIMTAB_MAX_JOBS_PER_KEY.",
            limit=error.limit,
        )
    return QUEUE_FULL.problem(
        f"There are {error.limit:,} jobs in the queue, and no room for another. Try again later, "
        "or raise TRIMTAB_MAX_QUEUED_JOBS.",
        limit=error.limit,
    )


async def _database_away(request: Request, error: Exception) -> ProblemResponse:
    log.warning("the database did not answer", path=request.url.path, error=str(error))
    return ProblemResponse(
        DATABASE_AWAY.problem(
            "Ask again in a moment. A request that asks for work may have been heard all the same: "
            "with an Idempotency-Key it gives one job however often it is sent."
        ),
        {"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


async def _http_error(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    kind = Kind(re.sub(r"[^a-z]+", "-", status.phrase.lower()), status, status.phrase)
    headers = dict(error.headers) if error.headers else None
    return ProblemResponse(kind.problem(_DETAILS.get(status)), headers)


_DETAILS = {
    HTTPStatus.NOT_FOUND: "Nothing is served here; /docs lists what is.",
    HTTPStatus.METHOD_NOT_ALLOWED: "The Allow header names the methods of this address.",
}


async def _unexpected(request: Request, error: Exception) -> ProblemResponse:
    # The error's own words may hold what is nobody's business.
    # This is called outside of the middleware that binds and sends the id.
    request_id = request.scope.get("request_id")
    log.error("request failed", method=request.method, request_id=request_id, exc_info=error)
    headers = None if request_id is None else {"X-Request-ID": request_id}
    return ProblemResponse(UNEXPECTED.problem(), headers)


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """`document`, in which every error has the problem's media type and schema."""
    schemas = document["components"]["schemas"]
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    reference = {"$ref": "#/components/schemas/Problem"}
    for path in document["paths"].values():
        for operation in path.values():
            if "requestBody" in operation:
                slow = {"description": HTTPStatus.REQUEST_TIMEOUT.phrase}
                operation["responses"].setdefault("408", slow)
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    response["content"] = {MEDIA_TYPE: {"schema": reference}}
    return document

"""What went wrong, as data: RFC 9457 problem details, for a response or a failed job.

Here is the one table from the core's errors to problems. The `type` of a problem is stable; its
`detail` is for people and says what was wrong, where, what was expected and what to do.
"""

from http import HTTPStatus
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from admin_core.errors import (
    AdminCoreError,
    DatasetFileError,
    DegenerateBranchError,
    ForwardError,
    HubError,
    InvalidSpecError,
    LimitExceededError,
    NonFiniteError,
    NoSuchDeviceError,
    OmegaNotApplicableError,
)


class FieldError(BaseModel):
    """One field that cannot be accepted. What was sent is never repeated."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    field: str
    """Dotted path, such as ``model.num_heads``; empty for the body as a whole."""
    message: str
    """What is wrong with it, and what was expected."""
    type: str
    """A stable name of the rule that it breaks."""


class Problem(BaseModel):
    """RFC 9457 problem details; further members say more, depending on the type."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    type: str = Field(examples=["urn:trimtab:problem:invalid-request"])
    """What kind of problem this is; stable."""
    title: str
    """The kind in words; the same for every problem of a type."""
    status: int
    """The HTTP status that goes with it."""
    detail: str | None = None
    """This case in words."""
    errors: list[FieldError] | None = None
    """The fields at fault, worst first, where fields are at fault."""

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)


class Kind(NamedTuple):
    """A kind of problem."""

    slug: str
    status: HTTPStatus
    title: str

    def problem(self, detail: str | None = None, **members: Any) -> Problem:
        """A problem of this kind; `members` are its extension members."""
        return Problem(
            type=f"urn:trimtab:problem:{self.slug}",
            title=self.title,
            status=self.status,
            detail=detail,
            **members,
        )


INVALID_REQUEST = Kind(
    "invalid-request", HTTPStatus.UNPROCESSABLE_ENTITY, "The request breaks a rule"
)
LIMIT_EXCEEDED = Kind(
    "limit-exceeded", HTTPStatus.UNPROCESSABLE_ENTITY, "The request is above a limit"
)
DEGENERATE_BRANCH = Kind(
    "degenerate-branch", HTTPStatus.UNPROCESSABLE_ENTITY, "A residual branch has no variance"
)
NON_FINITE = Kind(
    "non-finite", HTTPStatus.UNPROCESSABLE_ENTITY, "The model left the range of its numbers"
)
FORWARD_FAILED = Kind(
    "forward-failed", HTTPStatus.UNPROCESSABLE_ENTITY, "The model's forward pass raises"
)
NO_SUCH_DEVICE = Kind("no-such-device", HTTPStatus.SERVICE_UNAVAILABLE, "The device is not there")
NO_OMEGAS = Kind("no-omegas", HTTPStatus.CONFLICT, "The model takes no omegas")
DATASET_REFUSED = Kind(
    "dataset-refused", HTTPStatus.UNPROCESSABLE_ENTITY, "The file cannot be taken as a data set"
)
HUB_FAILED = Kind("hub-failed", HTTPStatus.BAD_GATEWAY, "The data set could not be fetched")
CORE_ERROR = Kind(
    "diagnosis-refused", HTTPStatus.UNPROCESSABLE_ENTITY, "The diagnosis cannot be made"
)
ATTEMPTS_EXHAUSTED = Kind(
    "attempts-exhausted", HTTPStatus.INTERNAL_SERVER_ERROR, "Every attempt was lost"
)
TIME_LIMIT = Kind("time-limit", HTTPStatus.INTERNAL_SERVER_ERROR, "The job took too long")
OUT_OF_MEMORY = Kind(
    "out-of-memory", HTTPStatus.INTERNAL_SERVER_ERROR, "The job took too much memory"
)
GPU_LOST = Kind("gpu-lost", HTTPStatus.INTERNAL_SERVER_ERROR, "The work failed on the GPU")
RUN_ABANDONED = Kind("run-abandoned", HTTPStatus.REQUEST_TIMEOUT, "The run fell silent")
RUN_FAILED = Kind("run-failed", HTTPStatus.FAILED_DEPENDENCY, "The run ended with an error")
UNEXPECTED = Kind("unexpected", HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong in here")

KIND_OF_ERROR: dict[type[AdminCoreError], Kind] = {
    LimitExceededError: LIMIT_EXCEEDED,
    InvalidSpecError: INVALID_REQUEST,
    DegenerateBranchError: DEGENERATE_BRANCH,
    NonFiniteError: NON_FINITE,
    ForwardError: FORWARD_FAILED,
    NoSuchDeviceError: NO_SUCH_DEVICE,
    OmegaNotApplicableError: NO_OMEGAS,
    DatasetFileError: DATASET_REFUSED,
    HubError: HUB_FAILED,
    AdminCoreError: CORE_ERROR,
}
"""Narrowest class first."""


def problem_of(error: AdminCoreError) -> Problem:
    """The problem that stands for an error of the core."""
    kind = next(kind for cls, kind in KIND_OF_ERROR.items() if isinstance(error, cls))
    if isinstance(error, DatasetFileError):
        return kind.problem(str(error), line=error.line)
    if isinstance(error, ForwardError):
        return kind.problem(str(error), module=error.path, message=error.message)
    if not isinstance(error, InvalidSpecError):
        return kind.problem(str(error))
    members: dict[str, Any] = {
        "errors": [
            FieldError(field=error.field, message=error.reason, type=kind.slug.replace("-", "_"))
        ]
    }
    if isinstance(error, LimitExceededError):
        members |= {
            "quantity": error.quantity,
            "requested": error.requested,
            "limit": error.limit,
            "setting": error.setting,
        }
    return kind.problem(str(error), **members)

"""What can go wrong between a caller and a service.

TrimtabError
├── UnreachableError    nobody answers at the address, or not as Trimtab does
├── RefusedError        the service answers with a problem, which the error carries
├── UnfinishedError     the time to wait is up, and the job is not finished
└── JobFailedError      the job is finished, and has no report
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.client.job import Job


class TrimtabError(Exception):
    """Base class of all that the client raises on purpose."""


class UnreachableError(TrimtabError):
    """Nobody answers at the address, or not as Trimtab does; the message says what to do."""


class RefusedError(TrimtabError):
    """The service will not, or cannot; the answer is an RFC 9457 problem document.

    Attributes:
        status: of HTTP.
        problem: the document, with `type`, `title`, `status`, `detail` and members of its own.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(status, problem)
        self.status = status
        self.problem = problem

    @property
    def type(self) -> str:
        """Stable from version to version, such as ``urn:trimtab:problem:not-found``."""
        return str(self.problem.get("type", "about:blank"))

    @property
    def detail(self) -> str:
        return str(
            self.problem.get("detail") or self.problem.get("title") or f"status {self.status}"
        )

    @property
    def fields(self) -> dict[str, str]:
        """What is wrong with each field of the request, by its dotted path."""
        return {
            str(entry.get("field", "")): str(entry.get("message", ""))
            for entry in self.problem.get("errors") or ()
        }

    def __str__(self) -> str:
        return self.detail


class UnfinishedError(TrimtabError):
    """The time to wait is up; `job` is as it was last seen."""

    def __init__(self, job: "Job") -> None:
        super().__init__(job)
        self.job = job

    def __str__(self) -> str:
        return f"The {self.job.kind} {self.job.id} is still {self.job.state}; wait longer."


class JobFailedError(TrimtabError):
    """The job has failed or was cancelled; `job.problem` says why if it failed."""

    def __init__(self, job: "Job") -> None:
        super().__init__(job)
        self.job = job

    def __str__(self) -> str:
        why = (self.job.problem or {}).get("detail")
        return str(why) if why else f"The {self.job.kind} {self.job.id} {self.job.state}."

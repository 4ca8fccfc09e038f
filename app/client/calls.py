"""Everything that can be asked of a service, as flows; both clients have these as their methods."""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from app.client.errors import RefusedError, UnfinishedError
from app.client.flow import (
    Flow,
    Patience,
    Request,
    Service,
    accepted,
    answered,
    is_unfinished,
    refusal,
)
from app.client.job import Job

if TYPE_CHECKING:
    from pydantic import BaseModel

    from admin_core.comparison import Comparison

LONG_POLL_SECONDS = 30.0
"""That the service may keep one request."""

MEDIA_TYPES = {
    ".txt": "text/plain",
    ".tsv": "text/tab-separated-values",
    ".jsonl": "application/jsonl",
    ".ndjson": "application/jsonl",
}
"""Of a data set, by the suffix of its file."""

REPORT_FILES = {
    "html": "report.html",
    "md": "report.md",
    "json": "report.json",
    "junit": "junit.xml",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate says."""

    json: dict[str, Any]
    """The answer: the verdict with what it was judged by, or the problem that names it."""

    @property
    def passed(self) -> bool:
        return bool(self.json["passed"])

    @property
    def outcome(self) -> str:
        return str(self.json["outcome"])

    @property
    def detail(self) -> str:
        """What it passes or fails by, in words."""
        return str(self.json["detail"])


class Calls:
    """Flows, one for each call. Each begins with a patience of its own."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def patience(self) -> Patience:
        return Patience(self.service)

    def submit(
        self,
        spec: "Mapping[str, Any] | BaseModel",
        *,
        fresh: bool = False,
        idempotency_key: str | None = None,
    ) -> Flow[Job]:
        """Ask for a diagnosis, or for a race if the spec has `arms`. Where the same was asked for
        before, the job is the earlier one, and may be finished.

        Args:
            fresh: begin a new job, where otherwise an earlier one of the same spec answers.
            idempotency_key: the caller's name for this request; the same key is the same job.

        Raises:
            RefusedError: the spec is no valid one; `fields` says where.
        """
        return (yield from self._ask(spec, fresh, 0.0, idempotency_key))

    def verify(
        self,
        diagnosis: str,
        *,
        prescription: int = 0,
        seeds: int | Sequence[int] = 3,
        steps: int | None = None,
        budget_seconds: float | None = None,
        fresh: bool = False,
    ) -> Flow[Job]:
        """Race a diagnosed model against one of the changes that were prescribed for it."""
        asked = {
            "diagnosis": diagnosis,
            "prescription": prescription,
            "seeds": seeds if isinstance(seeds, int) else list(seeds),
            "steps": steps,
            "budget_seconds": budget_seconds,
        }
        body = {name: value for name, value in asked.items() if value is not None}
        return (yield from self._submit("/v1/prescriptions/verify", body, fresh, 0.0, None))

    def job(self, job_id: str) -> Flow[Job]:
        """A job of any kind, as it is now.

        Raises:
            RefusedError: there is none of this id.
        """
        patience = self.patience()
        # The id does not say what kind of job it is.
        for folder in ("diagnoses", "races", "runs"):
            request = Request(method="GET", path=f"/v1/{folder}/{quote(job_id, safe='')}")
            answer = yield from answered(request, patience)
            if answer.status != 404:
                break
        if answer.status >= 300:
            raise _no_job(job_id) if answer.status == 404 else refusal(answer)
        return Job(answer.json())

    def wait(self, job: "Job | str", *, seconds: float | None = None) -> Flow[Job]:
        """The job once it is finished.

        Args:
            job: or its id.
            seconds: to wait, all told; until it is finished unless given.

        Raises:
            UnfinishedError: the time is up.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        found = yield from self._found(job)
        while not found.finished:
            left = LONG_POLL_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise UnfinishedError(found)
            request = Request(
                method="GET",
                path=found.links["self"],
                query={"wait": round(min(left, LONG_POLL_SECONDS), 3)},
            )
            found = Job((yield from accepted(request, self.patience())).json())
        return found

    def run(
        self,
        spec: "Mapping[str, Any] | BaseModel",
        *,
        fresh: bool = False,
        seconds: float | None = None,
    ) -> Flow[Job]:
        """Submit a diagnosis or a race, and wait until it is finished.

        Raises:
            RefusedError: the spec is no valid one.
            UnfinishedError: it is not finished within `seconds`.
        """
        begun = time.monotonic()
        turn = LONG_POLL_SECONDS if seconds is None else min(seconds, LONG_POLL_SECONDS)
        job = yield from self._ask(spec, fresh, turn, None)
        left = None if seconds is None else seconds - (time.monotonic() - begun)
        return (yield from self.wait(job, seconds=left))

    def cancel(self, job: "Job | str") -> Flow[Job]:
        """Cancel a job; what runs stops within two seconds, and what is finished stays as it is."""
        found = yield from self._found(job)
        request = Request(method="DELETE", path=found.links["self"])
        return Job((yield from accepted(request, self.patience())).json())

    def jobs(
        self,
        *,
        kind: str | None = None,
        state: str | None = None,
        outcome: str | None = None,
        limit: int | None = None,
    ) -> Flow[list[Job]]:
        """The newest jobs first, as many as there are or as `limit` says; without their reports."""
        filters = {"kind": kind, "state": state, "outcome": outcome}
        found = yield from self._pages("/v1/jobs", "jobs", filters, limit)
        return [Job(each) for each in found]

    def gate(
        self,
        spec: "Mapping[str, Any] | BaseModel",
        *,
        fail_on: Literal["at_risk", "unstable"] | None = None,
        max_failure_probability: float | None = None,
        baseline: str | None = None,
        fresh: bool = False,
        seconds: float = 600.0,
    ) -> Flow[Judgement]:
        """Diagnose, wait, and judge; a verdict that fails is an answer, and no error.

        Args:
            baseline: id of an earlier diagnosis; only what is worse fails.
            seconds: to wait for the verdict, all told.

        Raises:
            UnfinishedError: there is none in that time.
            RefusedError: there will be none.
        """
        deadline = time.monotonic() + seconds
        criteria = {
            "fail_on": fail_on,
            "max_failure_probability": max_failure_probability,
            "baseline": baseline,
        }
        request = Request(
            method="POST",
            path="/v1/gate",
            query={**criteria, "fresh": fresh, "wait": min(seconds, LONG_POLL_SECONDS)},
            body=_json(spec),
        )
        while True:
            answer = yield from answered(request, self.patience())
            said = answer.json()
            if answer.status == 200 or (answer.status == 409 and "passed" in said):
                return Judgement(said)
            if not is_unfinished(answer):
                raise refusal(answer)
            # The diagnosis that was begun, as asking anew might begin another.
            path = said["links"]["diagnosis"]
            left = deadline - time.monotonic()
            if left <= 0:
                found = yield from accepted(Request(method="GET", path=path), self.patience())
                raise UnfinishedError(Job(found.json()))
            turn = round(min(left, LONG_POLL_SECONDS), 3)
            request = Request(method="GET", path=f"{path}/gate", query={**criteria, "wait": turn})

    def report_file(
        self, job: "Job | str", file_format: Literal["html", "md", "json", "junit"] = "md"
    ) -> Flow[bytes]:
        """The report as a file; JUnit XML is of diagnoses alone."""
        found = yield from self._found(job)
        path = f"{found.links['self']}/{REPORT_FILES[file_format]}"
        return (yield from accepted(Request(method="GET", path=path), self.patience())).body

    def omega(
        self,
        job_id: str,
        file_format: Literal["json", "clinic", "deepnmt", "safetensors"] = "json",
    ) -> Flow[bytes]:
        """The omegas of a diagnosis, as a file that loads elsewhere."""
        path = f"/v1/diagnoses/{quote(job_id, safe='')}/omega"
        request = Request(method="GET", path=path, query={"format": file_format})
        return (yield from accepted(request, self.patience())).body

    def curves(self, job: "Job | str") -> Flow[dict[str, Any]]:
        """Loss and learning rate at every step, of a race or a watched run."""
        found = yield from self._found(job)
        path = found.links.get("curves")
        if path is None:
            raise _no_job(found.id, "race or run")
        return (yield from accepted(Request(method="GET", path=path), self.patience())).json()

    def compare(self, *job_ids: str) -> Flow["Comparison"]:
        """Two or more diagnoses, or races, side by side.

        Raises:
            ComparisonError: they are fewer than two, or of both kinds.
            JobFailedError: one of them has no report.
        """
        from admin_core.comparison import Compared, compare

        found = []
        for job_id in job_ids:
            job = yield from self.job(job_id)
            if not job.finished:
                raise UnfinishedError(job)
            report: Any = job.result()
            found.append(Compared(name=job.id, report=report, request=job.json["spec"]))
        return compare(found)

    def keep_report(
        self, spec: "Mapping[str, Any] | BaseModel", report: "Mapping[str, Any] | BaseModel"
    ) -> Flow[Job]:
        """Have the service keep a report that was made elsewhere."""
        body = {"spec": _json(spec), "report": _json(report)}
        key = uuid.uuid4().hex
        return (yield from self._submit("/v1/reports", body, False, None, key))

    def presets(self) -> Flow[list[dict[str, Any]]]:
        """Models of the paper and well-known shapes, each to be submitted as it is."""
        request = Request(method="GET", path="/v1/presets")
        found = (yield from accepted(request, self.patience())).json()
        presets: list[dict[str, Any]] = found["presets"]
        return presets

    def upload_dataset(
        self,
        path: Path,
        *,
        tokenizer: str = "bytes",
        vocab_size: int | None = None,
        columns: Sequence[str] = (),
    ) -> Flow[dict[str, Any]]:
        """Upload a file, whose suffix says what is in it; the data set that specs name by its id.

        Raises:
            ValueError: the suffix says nothing.
            OSError: the file cannot be read.
        """
        path = Path(path)
        media_type = MEDIA_TYPES.get(path.suffix.lower())
        if media_type is None:
            raise ValueError(f"{path} should end in one of {', '.join(MEDIA_TYPES)}.")
        request = Request(
            method="POST",
            path="/v1/datasets",
            query={"tokenizer": tokenizer, "vocab_size": vocab_size, "column": list(columns)},
            headers={"content-type": media_type},
            file=path,
        )
        return (yield from accepted(request, self.patience())).json()

    def datasets(self, *, limit: int | None = None) -> Flow[list[dict[str, Any]]]:
        """Uploaded data sets, the newest first."""
        return (yield from self._pages("/v1/datasets", "datasets", {}, limit))

    def delete_dataset(self, dataset_id: str) -> Flow[None]:
        """Delete a data set that no unfinished job reads."""
        path = f"/v1/datasets/{quote(dataset_id, safe='')}"
        yield from accepted(Request(method="DELETE", path=path), self.patience())

    def _found(self, job: "Job | str") -> Flow[Job]:
        return job if isinstance(job, Job) else (yield from self.job(job))

    def _ask(
        self,
        spec: "Mapping[str, Any] | BaseModel",
        fresh: bool,
        wait: float,
        idempotency_key: str | None,
    ) -> Flow[Job]:
        body = _json(spec)
        path = "/v1/races" if "arms" in body else "/v1/diagnoses"
        return (yield from self._submit(path, body, fresh, wait, idempotency_key))

    def _submit(
        self,
        path: str,
        body: Mapping[str, Any],
        fresh: bool,
        wait: float | None,
        idempotency_key: str | None,
    ) -> Flow[Job]:
        if fresh and idempotency_key is None:
            # As new as `fresh` would make it, and still one job if the request is sent twice.
            idempotency_key = uuid.uuid4().hex
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        query = {"wait": wait}
        request = Request(method="POST", path=path, query=query, headers=headers, body=body)
        return Job((yield from accepted(request, self.patience())).json())

    def _pages(
        self, path: str, member: str, filters: Mapping[str, Any], limit: int | None
    ) -> Flow[list[dict[str, Any]]]:
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while limit is None or len(found) < limit:
            size = 200 if limit is None else min(200, limit - len(found))
            query = {**filters, "limit": size, "cursor": cursor}
            request = Request(method="GET", path=path, query=query)
            page = (yield from accepted(request, self.patience())).json()
            found += page[member]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return found


def _json(spec: "Mapping[str, Any] | BaseModel") -> dict[str, Any]:
    if isinstance(spec, Mapping):
        return dict(spec)
    found: dict[str, Any] = spec.model_dump(mode="json")
    return found


def _no_job(job_id: str, kind: str = "job") -> RefusedError:
    return RefusedError(
        404,
        {
            "type": "urn:trimtab:problem:not-found",
            "title": "There is no such thing",
            "status": 404,
            "detail": f"There is no {kind} {job_id}. trimtab list shows those that there are.",
        },
    )

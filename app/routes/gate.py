"""The gate: a verdict as an HTTP status, for CI with curl and nothing else.

200 passes, 409 fails, 424 there is no verdict, 503 not finished yet. Never 202, which curl takes
for success; and curl's ``--retry`` repeats a 503 after the `Retry-After` that it names.
"""

from enum import StrEnum
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from admin_core.report import Outcome, Reason
from admin_core.spec import Analysis, DiagnosisSpec
from app.body import JsonRoute
from app.deps import QueueDep, SettingsDep, StoreDep, Wait, WaitingDep
from app.job_view import View, job_path
from app.problems import GATE_FAILED, NO_VERDICT, ProblemError, documented, unfinished
from app.routes.diagnoses import find, submit
from worker.jobs import FINISHED, Job
from worker.problem import INVALID_REQUEST, FieldError

router = APIRouter(prefix="/v1", tags=["gate"], route_class=JsonRoute)

PATIENCE_SECONDS = 30.0
"""Waited for unless told otherwise: longer than most diagnoses, shorter than a proxy's patience."""


class FailOn(StrEnum):
    """The mildest outcome that fails."""

    AT_RISK = "at_risk"
    UNSTABLE = "unstable"


class GateResult(View):
    """The verdict passes."""

    passed: bool
    outcome: Outcome
    fail_on: FailOn
    reasons: list[Reason]
    links: dict[str, str]


_RESPONSES: dict[int | str, dict[str, Any]] = {
    **documented(409, 422, 424, 500, 503),
    200: {"model": GateResult, "description": "The verdict passes."},
}


@router.post("/gate", responses={**_RESPONSES, **documented(400, 413, 415)})
async def gate(
    spec: DiagnosisSpec,
    settings: SettingsDep,
    store: StoreDep,
    queue: QueueDep,
    waiting: WaitingDep,
    fail_on: FailOn = FailOn.UNSTABLE,
    wait: Wait = PATIENCE_SECONDS,
) -> GateResult:
    """Diagnose, wait, judge. The same spec again, as in a retry, is the same diagnosis."""
    if Analysis.VERDICT not in spec.analyses:
        message = "A gate judges by the verdict; add it, or leave this field out"
        raise ProblemError(
            INVALID_REQUEST.problem(
                f"analyses: {message}",
                errors=[FieldError(field="analyses", message=message, type="verdict_needed")],
            )
        )
    job_id = await run_in_threadpool(submit, spec, settings, store, queue, same_spec_once=True)
    await waiting.until_finished(job_id, seconds=wait)
    return judge(await run_in_threadpool(find, store, job_id), fail_on)


@router.get("/diagnoses/{job_id}/gate", responses={**_RESPONSES, **documented(404)})
async def gate_of_diagnosis(
    job_id: str,
    store: StoreDep,
    waiting: WaitingDep,
    fail_on: FailOn = FailOn.UNSTABLE,
    wait: Wait = PATIENCE_SECONDS,
) -> GateResult:
    """Wait for a diagnosis, and judge."""
    await run_in_threadpool(find, store, job_id)
    await waiting.until_finished(job_id, seconds=wait)
    return judge(await run_in_threadpool(find, store, job_id), fail_on)


def judge(job: Job, fail_on: FailOn) -> GateResult:
    """The result of a job whose verdict passes; a problem for any other."""
    links = {"diagnosis": job_path(job.id)}
    if job.state not in FINISHED:
        raise unfinished(job)
    verdict = job.report and job.report.get("verdict")
    if not verdict:
        raise ProblemError(
            NO_VERDICT.problem(
                _why_no_verdict(job), state=job.state, cause=job.problem, links=links
            )
        )
    members = {"fail_on": fail_on, "links": links, **verdict}
    outcome = Outcome(verdict["outcome"])
    severity = list(Outcome)
    if severity.index(outcome) >= severity.index(Outcome(fail_on)):
        raise ProblemError(GATE_FAILED.problem(_why_failed(verdict), passed=False, **members))
    return GateResult(passed=True, **members)


def _why_no_verdict(job: Job) -> str:
    if job.problem:
        return f"The diagnosis {job.state}: {job.problem.get('detail', job.problem['title'])}"
    if job.report:
        reason = job.report.get("unavailable", {}).get("verdict")
        if reason:
            return f"There is nothing to judge. {reason}"
        return "The diagnosis was asked for without its verdict; submit it with all analyses."
    return f"The diagnosis was {job.state}."


def _why_failed(verdict: dict[str, Any]) -> str:
    grave = [
        reason["explanation"]
        for reason in verdict["reasons"]
        if reason["outcome"] == verdict["outcome"]
    ]
    return " ".join([f"The verdict is {verdict['outcome']}.", *grave])

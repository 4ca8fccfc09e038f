"""The gate: a verdict as an HTTP status, for CI with curl and nothing else.

200 passes, 409 fails, 424 there is no verdict, 503 not finished yet. Never 202, which curl takes
for success; and curl's ``--retry`` repeats a 503 after the `Retry-After` that it names.
"""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.concurrency import run_in_threadpool

from admin_core.report import Outcome, Reason
from admin_core.spec import Analysis, DiagnosisSpec
from admin_core.verdict.gate import Criterion, Judgement, Standing
from admin_core.verdict.gate import judge as judge_by
from app.auth import Caller, CallerDep
from app.body import JsonRoute
from app.deps import EngineDep, Fresh, StoreDep, Wait, WaitingDep
from app.job_answers import named_diagnosis, no_verdict, why_no_verdict
from app.job_view import View, job_path
from app.problems import GATE_FAILED, ProblemError, documented, unfinished
from app.routes.diagnoses import find, submit
from worker.jobs import FINISHED, Job, Reuse
from worker.problem import INVALID_REQUEST, FieldError
from worker.store import Store

router = APIRouter(prefix="/v1", tags=["gate"], route_class=JsonRoute)

PATIENCE_SECONDS = 30.0
"""Waited for unless told otherwise: longer than most diagnoses, shorter than a proxy's patience."""


class FailOn(StrEnum):
    """The mildest outcome that fails."""

    AT_RISK = "at_risk"
    UNSTABLE = "unstable"


class Criteria:
    """What the verdict is held against, from the query."""

    def __init__(
        self,
        store: StoreDep,
        caller: CallerDep,
        fail_on: Annotated[
            FailOn | None,
            Query(
                description="The mildest outcome that fails; `unstable` if nothing else is given."
            ),
        ] = None,
        max_failure_probability: Annotated[
            float | None,
            Query(
                ge=0,
                le=1,
                allow_inf_nan=False,
                description="The highest failure probability that passes. Of a verdict that has "
                "none, the outcome decides.",
            ),
        ] = None,
        baseline: Annotated[
            str | None,
            Query(
                min_length=1,
                max_length=100,
                description="Id of an earlier diagnosis; what is no worse than its verdict passes.",
            ),
        ] = None,
    ) -> None:
        self.fail_on = fail_on
        self.max_failure_probability = max_failure_probability
        self.baseline_id = baseline
        # Before any work begins.
        self.baseline = None if baseline is None else _baseline(store, caller, baseline)

    def judge(self, verdict: dict[str, Any]) -> Judgement:
        return judge_by(
            _standing(verdict),
            fail_on=None if self.fail_on is None else Outcome(self.fail_on),
            max_failure_probability=self.max_failure_probability,
            baseline=self.baseline,
        )


CriteriaDep = Annotated[Criteria, Depends(Criteria)]


class GateResult(View):
    """The verdict passes."""

    passed: bool
    detail: str
    """What it passes by, in words."""
    outcome: Outcome
    failure_probability: float | None
    judged_by: list[Criterion]
    """The criteria that applied."""
    fail_on: FailOn | None
    """None where the outcome was not judged by itself."""
    max_failure_probability: float | None
    reasons: list[Reason]
    links: dict[str, str]
    """`diagnosis`, and `baseline` where there was one."""


_RESPONSES: dict[int | str, dict[str, Any]] = {
    **documented(404, 409, 422, 424, 500, 503),
    200: {"model": GateResult, "description": "The verdict passes."},
}


@router.post("/gate", responses={**_RESPONSES, **documented(400, 413, 415)})
async def gate(
    spec: DiagnosisSpec,
    criteria: CriteriaDep,
    engine: EngineDep,
    caller: CallerDep,
    fresh: Fresh = False,
    wait: Wait = PATIENCE_SECONDS,
) -> GateResult:
    """Diagnose, wait, judge. The same spec again, as in a retry, is the same diagnosis."""
    settings, store, queue, waiting = engine
    if Analysis.VERDICT not in spec.analyses:
        message = "A gate judges by the verdict; add it, or leave this field out"
        raise ProblemError(
            INVALID_REQUEST.problem(
                f"analyses: {message}",
                errors=[FieldError(field="analyses", message=message, type="verdict_needed")],
            )
        )
    # A retry of a fresh request must find what the first one began.
    reuse = Reuse.UNFINISHED if fresh else Reuse.ANY
    job_id, _ = await run_in_threadpool(submit, spec, settings, store, queue, caller, reuse=reuse)
    await waiting.until_finished(job_id, seconds=wait)
    return judge(await run_in_threadpool(find, store, caller, job_id), criteria)


@router.get("/diagnoses/{job_id}/gate", responses=_RESPONSES)
async def gate_of_diagnosis(
    job_id: str,
    criteria: CriteriaDep,
    store: StoreDep,
    waiting: WaitingDep,
    caller: CallerDep,
    wait: Wait = PATIENCE_SECONDS,
) -> GateResult:
    """Wait for a diagnosis, and judge."""
    await run_in_threadpool(find, store, caller, job_id)
    await waiting.until_finished(job_id, seconds=wait)
    return judge(await run_in_threadpool(find, store, caller, job_id), criteria)


def judge(job: Job, criteria: Criteria) -> GateResult:
    """The result of a job whose verdict passes; a problem for any other."""
    if job.state not in FINISHED:
        raise unfinished(job)
    verdict = job.report and job.report.get("verdict")
    if not verdict:
        raise no_verdict(job)
    judgement = criteria.judge(verdict)
    by_outcome = Criterion.OUTCOME in judgement.judged_by
    links = {"diagnosis": job_path(job.id)}
    if criteria.baseline_id is not None:
        links["baseline"] = job_path(criteria.baseline_id)
    members = {
        "failure_probability": None,  # as in reports of versions that gave none
        **verdict,
        "judged_by": list(judgement.judged_by),
        "fail_on": (criteria.fail_on or FailOn.UNSTABLE) if by_outcome else None,
        "max_failure_probability": criteria.max_failure_probability,
        "links": links,
    }
    if not judgement.passed:
        raise ProblemError(
            GATE_FAILED.problem(_why_failed(verdict, judgement), passed=False, **members)
        )
    detail = " ".join([_outcome(verdict), *judgement.sentences])
    return GateResult(passed=True, detail=detail, **members)


def _standing(verdict: dict[str, Any]) -> Standing:
    return Standing(
        outcome=Outcome(verdict["outcome"]),
        failure_probability=verdict.get("failure_probability"),
    )


def _baseline(store: Store, caller: Caller, job_id: str) -> Standing:
    """Of the verdict of the diagnosis that `baseline` names; a problem if it has none."""
    job = named_diagnosis(store, caller, job_id, field="baseline")
    verdict = job.report and job.report.get("verdict")
    if not verdict:
        why = why_no_verdict(job) if job.state in FINISHED else f"The diagnosis is {job.state}."
        message = f"{why} Name one that has a verdict."
        raise ProblemError(
            INVALID_REQUEST.problem(
                f"baseline: {message}",
                errors=[FieldError(field="baseline", message=message, type="verdict_needed")],
            )
        )
    return _standing(verdict)


def _outcome(verdict: dict[str, Any]) -> str:
    return f"The verdict is {verdict['outcome']}."


def _why_failed(verdict: dict[str, Any], judgement: Judgement) -> str:
    grave = [
        reason["explanation"]
        for reason in verdict["reasons"]
        # The causes behind a probability are weighed together, whatever each would say alone.
        if verdict["outcome"] != Outcome.STABLE
        and (verdict.get("failure_probability") or reason["outcome"] == verdict["outcome"])
    ]
    cure = [
        f"The smallest change that is predicted to make it train: {first['change']} (failure "
        f"probability {first['failure_probability']:.2g})."
        for first in verdict.get("prescriptions", [])[:1]
    ]
    return " ".join([_outcome(verdict), *grave, *judgement.sentences, *cure])

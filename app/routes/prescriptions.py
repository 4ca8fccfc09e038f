"""Prescriptions: race one against the model that it is for."""

from typing import Any

from fastapi import APIRouter, Response, status
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from admin_core.errors import InvalidSpecError, LimitExceededError
from admin_core.race_spec import RaceSpec
from admin_core.report import Verdict
from admin_core.spec import DiagnosisSpec
from admin_core.verification import verification_race
from app.auth import Caller, CallerDep
from app.body import JsonRoute
from app.deps import EngineDep, Fresh, IdempotencyKey, Wait
from app.job_answers import named_diagnosis, no_verdict, submitted
from app.job_view import RaceView, job_path
from app.problems import NO_VERDICT, NOTHING_PRESCRIBED_YET, ProblemError, documented
from app.routes.races import find_json, submit
from app.verification import Verification
from worker.admission import check_race
from worker.data import check_data
from worker.jobs import FINISHED, Job, JobName, Reuse
from worker.problem import LIMIT_EXCEEDED, FieldError
from worker.settings import Settings
from worker.store import Store

router = APIRouter(prefix="/v1/prescriptions", tags=["races"], route_class=JsonRoute)


@router.post(
    "/verify",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=RaceView,
    responses={
        200: {"model": RaceView, "description": "The race was finished within `wait`."},
        202: {"description": "Accepted; `Location` is the race's."},
        **documented(400, 404, 409, 413, 415, 422, 424, 500, 503),
    },
)
async def verify_prescription(
    request: Verification,
    engine: EngineDep,
    caller: CallerDep,
    fresh: Fresh = False,
    wait: Wait = 0,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Race the model as it was diagnosed, `patient`, and as it was prescribed, `prescription`. The
    race's conclusion says whether what was predicted of each came true."""
    settings, store, queue, waiting = engine
    race = await run_in_threadpool(race_asked_for, request, settings, store, caller)
    race_id, new = await run_in_threadpool(
        submit,
        race,
        settings,
        store,
        queue,
        caller,
        idempotency_key=idempotency_key,
        reuse=Reuse.NONE if fresh else Reuse.ANY,
    )
    await waiting.until_finished(race_id, seconds=wait)
    return submitted(await run_in_threadpool(find_json, store, caller, race_id), reused=not new)


def race_asked_for(
    request: Verification, settings: Settings, store: Store, caller: Caller
) -> RaceSpec:
    """The race, within the limits; a problem if there is no such prescription to be raced."""
    job = named_diagnosis(store, caller, request.diagnosis, field="diagnosis")
    if job.kind == JobName.REPORT:
        raise InvalidSpecError(
            "diagnosis",
            "is of a network that is not here: its report was pushed, and no code came with it; "
            "train it with the prescription where it was diagnosed",
        )
    verdict = _verdict(job)
    try:
        spec, judged = DiagnosisSpec.model_validate(job.spec), Verdict.model_validate(verdict)
    except ValidationError:
        raise ProblemError(
            NO_VERDICT.problem(
                "The diagnosis is another version's, whose spec or verdict this one cannot read; "
                "submit its spec again.",
                links={"diagnosis": job_path(job.id)},
            )
        ) from None
    race = verification_race(
        spec,
        judged,
        prescription=request.prescription,
        seeds=request.seeds,
        steps=request.steps,
        budget_seconds=request.budget_seconds,
    )
    try:
        check_race(race, settings)
    except LimitExceededError as error:
        raise _in_the_requests_words(error, race) from None
    try:
        check_data(race, store, settings, sees=caller.sees)
    except InvalidSpecError as error:
        raise InvalidSpecError("diagnosis", f"its spec cannot be raced. {error}") from None
    return race


def _verdict(job: Job) -> dict[str, Any]:
    """Of a diagnosis, as it was stored; a problem if there is none, or not yet."""
    if job.state not in FINISHED:
        raise ProblemError(
            NOTHING_PRESCRIBED_YET.problem(
                f"The diagnosis is {job.state}, and prescribes nothing yet; ask again when it is "
                "finished.",
                state=job.state,
                links={"diagnosis": job_path(job.id)},
            )
        )
    verdict: dict[str, Any] | None = job.report and job.report.get("verdict")
    if not verdict:
        raise no_verdict(job)
    return verdict


def _in_the_requests_words(error: LimitExceededError, race: RaceSpec) -> Exception:
    """The same refusal, where the sender knows no `arms`."""
    if error.field != "arms":
        return error
    if error.quantity == "runs":
        return LimitExceededError(
            "seeds", error.quantity, error.requested, error.limit, error.setting
        )
    training, runs = race.training, len(race.arms) * len(race.seeds)
    message = (
        f"{training.steps:,} training steps in each of {runs:,} runs are {error.requested:,}, "
        f"above the limit of {error.limit:,}; give steps of at most {error.limit // runs:,}, or "
        f"fewer seeds, or raise {error.setting}. The warm-up stays at {training.warmup_steps:,} "
        "steps."
    )
    return ProblemError(
        LIMIT_EXCEEDED.problem(
            f"steps: {message}",
            errors=[FieldError(field="steps", message=message, type="limit_exceeded")],
            quantity=error.quantity,
            requested=error.requested,
            limit=error.limit,
            setting=error.setting,
        )
    )

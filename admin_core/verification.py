"""The race that proves a prescription: the model as it was diagnosed beside the model as it was
prescribed. No torch is loaded here."""

from collections.abc import Sequence

from pydantic import ValidationError

from admin_core.errors import InvalidSpecError
from admin_core.merge_patch import merge_patch
from admin_core.race_spec import RaceSpec
from admin_core.report import Verdict
from admin_core.spec import DiagnosisSpec

PATIENT = "patient"
PRESCRIPTION = "prescription"


def verification_race(
    spec: DiagnosisSpec,
    verdict: Verdict,
    *,
    prescription: int = 0,
    seeds: Sequence[int] = (0, 1, 2),
    steps: int | None = None,
    budget_seconds: float | None = None,
) -> RaceSpec:
    """A race of two arms, `patient` and `prescription`, each with what the verdict predicts of it.

    Args:
        spec: of the diagnosis that the verdict comes from.
        prescription: which of the verdict's, counted from 0.
        steps: of each run, in place of the spec's; the warm-up stays as it is.
        budget_seconds: of the whole race.

    Raises:
        InvalidSpecError: there is no such prescription, or its patch does not fit the spec.
    """
    known = len(verdict.prescriptions)
    if not known:
        raise InvalidSpecError(
            "prescription",
            "The verdict prescribes nothing, so that there is nothing to verify; its outcome is "
            f"{verdict.outcome}. POST /v1/races takes arms of your own.",
        )
    if prescription >= known:
        raise InvalidSpecError(
            "prescription",
            f"The verdict has {known} of them, counted from 0; give a number from 0 to "
            f"{known - 1}.",
        )
    chosen = verdict.prescriptions[prescription]
    subject = spec.model_dump(
        mode="json", include={"data", "training", "model"}, exclude_unset=True
    )
    if steps is not None:
        subject = merge_patch(subject, {"training": {"steps": steps}})
    try:
        return RaceSpec.model_validate(
            {
                **subject,
                "arms": [
                    {
                        "name": PATIENT,
                        "predicted_failure_probability": verdict.failure_probability,
                    },
                    {
                        "name": PRESCRIPTION,
                        "patch": chosen.patch,
                        "predicted_failure_probability": chosen.failure_probability,
                    },
                ],
                "seeds": list(seeds),
                "budget_seconds": budget_seconds,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidSpecError(
            "prescription", f"It cannot be raced, as {where} is refused: {first['msg']}."
        ) from None

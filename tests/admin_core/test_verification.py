import subprocess
import sys
from typing import Any

import pytest

from admin_core.errors import InvalidSpecError
from admin_core.report import Verdict
from admin_core.spec import DiagnosisSpec, Scheme
from admin_core.verification import verification_race
from tests.admin_core.specs import small

SPEC = DiagnosisSpec.model_validate(
    {
        "model": small("decoder_only"),
        "training": {"learning_rate": 0.01, "steps": 1_000, "warmup_steps": 50},
        "seed": 7,
    }
)


def verdict(*prescriptions: dict[str, Any]) -> Verdict:
    return Verdict.model_validate(
        {
            "outcome": "unstable",
            "failure_probability": 0.83,
            "outside_calibration": [],
            "reasons": [],
            "edges": [],
            "prescriptions": [
                {"change": "A change", "patch": patch, "failure_probability": 0.04 + number / 10}
                for number, patch in enumerate(prescriptions)
            ],
        }
    )


ADMIN = {"model": {"scheme": "admin"}}


class TestVerificationRace:
    def test_races_the_patient_against_the_prescription(self) -> None:
        race = verification_race(SPEC, verdict(ADMIN))
        assert [arm.name for arm in race.arms] == ["patient", "prescription"]
        patient, prescription = race.run(0), race.run(1)
        assert (patient.model, patient.training, patient.data) == (
            SPEC.model,
            SPEC.training,
            SPEC.data,
        )
        assert prescription.model == SPEC.model.model_copy(update={"scheme": Scheme.ADMIN})
        assert prescription.training == SPEC.training

    def test_carries_what_is_predicted_of_each(self) -> None:
        race = verification_race(SPEC, verdict(ADMIN))
        assert [arm.predicted_failure_probability for arm in race.arms] == [0.83, 0.04]

    def test_takes_the_prescription_that_is_asked_for(self) -> None:
        slower = {"training": {"learning_rate": 0.001}}
        race = verification_race(SPEC, verdict(ADMIN, slower), prescription=1, seeds=(3,))
        assert race.run(1).training.learning_rate == 0.001
        assert race.run(0).training.learning_rate == 0.01
        assert race.seeds == (3,)

    def test_other_steps_leave_the_warm_up_as_it_is(self) -> None:
        race = verification_race(SPEC, verdict(ADMIN), steps=100, budget_seconds=60)
        for run in (race.run(0), race.run(1)):
            assert (run.training.steps, run.training.warmup_steps) == (100, 50)
        assert race.budget_seconds == 60

    def test_a_prescription_that_is_not_there_is_refused_with_those_that_are(self) -> None:
        with pytest.raises(InvalidSpecError, match="^prescription: .* 1 of them.* 0 to 0"):
            verification_race(SPEC, verdict(ADMIN), prescription=1)

    def test_a_verdict_that_prescribes_nothing_has_nothing_to_verify(self) -> None:
        with pytest.raises(InvalidSpecError, match="^prescription: .*prescribes nothing"):
            verification_race(SPEC, verdict())

    def test_a_patch_that_does_not_fit_is_refused_with_its_path(self) -> None:
        with pytest.raises(InvalidSpecError, match=r"arms\.1\.patch\.model\.widht is refused"):
            verification_race(SPEC, verdict({"model": {"widht": 1}}))

    def test_loads_no_torch(self) -> None:
        code = (
            "import sys\nfrom admin_core import race_prediction, verification\n"
            "from admin_core.verdict import gate\nassert 'torch' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

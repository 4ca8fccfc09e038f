"""Prescriptions are put to the proof, through the front door."""

import subprocess
import uuid
from typing import Any

import httpx
import pytest

from tests.app.prescribed import PRESCRIPTION, diagnosed, verdict
from tests.app.test_races import TINY
from tests.service import LONG, SMALL, TRIMTAB, Service

PATIENT: dict[str, Any] = {name: TINY[name] for name in ("model", "training")} | {"seed": 3}


@pytest.fixture(scope="module")
def unstable(service: Service) -> str:
    """Id of a diagnosis that prescribes something."""
    return diagnosed(service, PATIENT, verdict("unstable", 0.83, PRESCRIPTION))


def verify(service: Service, wait: float = 0, **body: Any) -> httpx.Response:
    return service.http.post("/v1/prescriptions/verify", params={"wait": wait}, json=body)


class TestVerify:
    def test_races_patient_and_prescription_and_says_whether_the_prediction_came_true(
        self, service: Service, unstable: str
    ) -> None:
        answer = verify(service, wait=60, diagnosis=unstable, seeds=2)
        assert answer.status_code == 200, answer.text
        race = answer.json()
        assert race["kind"] == "race"
        assert race["state"] == "succeeded", race
        assert race["spec"]["training"]["steps"] == 12
        arms = race["report"]["arms"]
        predicted = {arm["name"]: arm["predicted_failure_probability"] for arm in arms}
        assert predicted == {"patient": 0.83, "prescription": 0.04}
        assert race["spec"]["arms"][1]["patch"]["model"] == {"scheme": "admin"}
        # Twelve steps are too few for any model to learn.
        conclusion = race["report"]["conclusion"]
        assert "probability 0.83, and failed in 2 of 2 seeds: the prediction came" in conclusion
        assert "0.04, and failed in 2 of 2 seeds: the prediction did not come true" in conclusion

    def test_is_accepted_and_says_where_the_race_is(self, service: Service, unstable: str) -> None:
        answer = verify(service, diagnosis=unstable, seeds=1, steps=7, budget_seconds=50)
        assert answer.status_code == 202
        race = service.http.get(answer.headers["Location"]).json()
        assert answer.headers["Location"] == f"/v1/races/{race['id']}"
        assert race["spec"]["training"]["steps"] == 7
        assert race["spec"]["training"]["warmup_steps"] == PATIENT["training"]["warmup_steps"]
        assert race["spec"]["budget_seconds"] == 50
        again = verify(service, diagnosis=unstable, seeds=1, steps=7, budget_seconds=50)
        assert again.json()["id"] == race["id"]

    def test_a_spec_whose_data_set_is_gone_is_refused(self, service: Service) -> None:
        text = "".join(f"Line {number} is soon to be gone.\n" for number in range(100))
        headers = {"content-type": "text/plain"}
        made = service.http.post("/v1/datasets", content=text, headers=headers).json()
        body = PATIENT | {"data": {"kind": "upload", "id": made["id"]}}
        job_id = diagnosed(service, body, verdict("unstable", 0.83, PRESCRIPTION))
        assert verify(service, diagnosis=job_id, seeds=1).status_code == 202
        race = verify(service, wait=60, diagnosis=job_id, seeds=1).json()
        assert race["state"] == "succeeded", race
        assert service.http.delete(made["links"]["self"]).status_code == 204
        answer = verify(service, diagnosis=job_id, seeds=1)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "diagnosis"
        assert "no data set of this id" in answer.json()["detail"]

    def test_an_unknown_diagnosis_is_not_found(self, service: Service) -> None:
        answer = verify(service, diagnosis=str(uuid.uuid4()))
        assert answer.status_code == 404
        assert answer.json()["errors"][0]["field"] == "diagnosis"

    def test_a_race_is_no_diagnosis(self, service: Service, unstable: str) -> None:
        race = verify(service, diagnosis=unstable, seeds=1, steps=7, budget_seconds=50).json()
        assert verify(service, diagnosis=race["id"]).status_code == 404

    def test_an_unfinished_diagnosis_prescribes_nothing_yet(self, service: Service) -> None:
        job_id = service.submit(LONG)
        answer = verify(service, diagnosis=job_id)
        service.http.delete(f"/v1/diagnoses/{job_id}")
        assert answer.status_code == 409
        assert answer.json()["links"]["diagnosis"] == f"/v1/diagnoses/{job_id}"

    def test_a_diagnosis_without_verdict_prescribes_nothing(self, service: Service) -> None:
        answer = verify(service, diagnosis=diagnosed(service, SMALL, None))
        assert answer.status_code == 424

    def test_a_verdict_of_another_version_is_to_be_made_again(self, service: Service) -> None:
        answer = verify(service, diagnosis=diagnosed(service, SMALL, {"outcome": "stable"}))
        assert answer.status_code == 424
        assert "submit its spec again" in answer.json()["detail"]

    def test_a_verdict_without_prescriptions_has_nothing_to_verify(self, service: Service) -> None:
        healthy = diagnosed(service, SMALL, verdict("stable", 0.02))
        assert refused(verify(service, diagnosis=healthy)).startswith("prescription: ")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"prescription": 1}, "prescription: The verdict has 1 of them"),
            ({"prescription": -1}, "prescription: "),
            ({"prescription": "0"}, "prescription: "),
            ({"steps": 0}, "steps: "),
            ({"seeds": 0}, "seeds: "),
            ({"seeds": 501}, "seeds: needs 1,002 runs"),
            ({"budget_seconds": 1e-6}, "budget_seconds: "),
            ({"stpes": 5}, "stpes: "),
            ({"diagnosis": None}, "diagnosis: "),
            (
                {"steps": 500_000},
                "steps: 500,000 training steps in each of 6 runs are 3,000,000, above the limit of "
                "1,000,000; give steps of at most 166,666, or fewer seeds, or raise "
                "TRIMTAB_MAX_RACE_STEPS. The warm-up stays at 4 steps.",
            ),
        ],
    )
    def test_bad_input_is_named(
        self, service: Service, unstable: str, changes: dict[str, Any], said: str
    ) -> None:
        assert refused(verify(service, **{"diagnosis": unstable} | changes)).startswith(said)

    def test_a_diagnosis_must_be_named(self, service: Service) -> None:
        assert refused(verify(service)).startswith("diagnosis: ")


def refused(answer: httpx.Response) -> str:
    """The first field at fault, and what is wrong with it."""
    assert answer.status_code == 422, answer.text
    error = answer.json()["errors"][0]
    return f"{error['field']}: {error['message']}"


class TestCommand:
    """trimtab verify."""

    def verify(self, *words: str, url: str) -> subprocess.CompletedProcess[str]:
        command = [str(TRIMTAB), "verify", *words, "--url", url]
        return subprocess.run(command, capture_output=True, text=True)

    def test_prints_the_race_and_what_came_of_the_predictions(
        self, service: Service, unstable: str
    ) -> None:
        run = self.verify(unstable, "--seeds", "1", "--steps", "10", url=service.url)
        assert run.returncode == 0, run.stderr
        assert "patient" in run.stdout
        assert "the prediction came true" in " ".join(run.stdout.split())

    def test_exits_2_for_a_prescription_or_diagnosis_that_is_not_there(
        self, service: Service, unstable: str
    ) -> None:
        run = self.verify(unstable, "--prescription", "5", url=service.url)
        assert run.returncode == 2
        assert "from 0 to 0" in run.stderr
        assert self.verify("nothing", url=service.url).returncode == 2

    def test_exits_3_where_there_is_no_service(self) -> None:
        run = self.verify("any", url="http://127.0.0.1:1")
        assert run.returncode == 3
        assert "trimtab serve" in run.stderr

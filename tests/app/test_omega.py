from typing import Any

import pytest

from tests.service import SMALL, Service


@pytest.fixture(scope="module")
def diagnosed(service: Service) -> dict[str, Any]:
    return service.diagnose(SMALL | {"analyses": ["omega"]})


def omegas_of(job: dict[str, Any]) -> list[float]:
    return [branch["omega"] for branch in job["report"]["branches"]]


class TestOmega:
    def test_is_the_reports_as_json(self, service: Service, diagnosed: dict[str, Any]) -> None:
        found = service.http.get(diagnosed["links"]["omega"])
        assert found.status_code == 200
        assert found.json()["convention"] == "clinic"
        assert [row["omega"] for row in found.json()["omegas"]] == omegas_of(diagnosed)

    def test_is_two_columns_for_transformer_clinic(
        self, service: Service, diagnosed: dict[str, Any]
    ) -> None:
        found = service.http.get(diagnosed["links"]["omega"], params={"format": "clinic"})
        assert found.headers["content-type"].startswith("text/plain")
        assert "profile.ratio.init" in found.headers["content-disposition"]
        rows = [line.split(" ") for line in found.text.splitlines()]
        assert [int(index) for index, _ in rows] == [1, 2, 3, 4]
        assert [float(omega) for _, omega in rows] == omegas_of(diagnosed)

    def test_is_one_column_for_deepnmt(self, service: Service, diagnosed: dict[str, Any]) -> None:
        found = service.http.get(diagnosed["links"]["omega"], params={"format": "deepnmt"})
        assert [float(line) for line in found.text.splitlines()] == omegas_of(diagnosed)

    def test_is_one_tensor_an_addition_as_safetensors(
        self, service: Service, diagnosed: dict[str, Any]
    ) -> None:
        from safetensors.numpy import load

        found = service.http.get(diagnosed["links"]["omega"], params={"format": "safetensors"})
        tensors = load(found.content)
        assert len(tensors) == 4
        last = tensors["encoder.layers.1.feed_forward.add.omega"]
        assert last.item() == pytest.approx(omegas_of(diagnosed)[-1])

    def test_a_model_that_takes_none_is_a_conflict_with_the_reason(self, service: Service) -> None:
        pre_ln = {"model": SMALL["model"] | {"scheme": "pre_ln"}, "analyses": ["omega"]}
        job = service.diagnose(SMALL | pre_ln)
        found = service.http.get(job["links"]["omega"])
        assert found.status_code == 409
        assert found.json()["type"] == "urn:trimtab:problem:no-omegas"
        assert "pre_ln" in found.json()["detail"]

    def test_an_unknown_format_is_named(self, service: Service, diagnosed: dict[str, Any]) -> None:
        found = service.http.get(diagnosed["links"]["omega"], params={"format": "npz"})
        assert found.status_code == 422
        assert "format" in found.json()["errors"][0]["field"]

    def test_an_unknown_job_is_not_found(self, service: Service) -> None:
        assert service.http.get("/v1/diagnoses/no-such-job/omega").status_code == 404

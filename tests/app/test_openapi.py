import re

import pytest

from tests.service import SMALL, Service

OF_THE_DOOR = {"401", "403", "429"}
"""No key, one that does not allow it, or too many requests: of every address below /v1."""


def test_every_error_is_documented_as_a_problem(service: Service) -> None:
    document = service.http.get("/openapi.json").json()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    errors = [
        response["content"]
        for path in document["paths"].values()
        for operation in path.values()
        for status, response in operation["responses"].items()
        if status >= "400"
    ]
    assert errors
    reference = {"$ref": "#/components/schemas/Problem"}
    assert all(e == {"application/problem+json": {"schema": reference}} for e in errors)


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("post", "/v1/diagnoses", {"200", "202", "400", "413", "415", "422", "500", "503"}),
        ("get", "/v1/diagnoses/{job_id}", {"200", "304", "404", "422", "500"}),
        ("get", "/v1/diagnoses/{job_id}/events", {"200", "404", "422", "500"}),
        ("post", "/v1/races", {"200", "202", "400", "413", "415", "422", "500", "503"}),
        ("get", "/v1/races/{race_id}", {"200", "304", "404", "422", "500"}),
        ("get", "/v1/races/{race_id}/events", {"200", "404", "422", "500"}),
        ("post", "/v1/datasets", {"200", "201", "400", "413", "415", "422", "500"}),
        ("delete", "/v1/datasets/{dataset_id}", {"204", "404", "409", "422", "500"}),
        (
            "get",
            "/v1/diagnoses/{job_id}/report.{suffix}",
            {"200", "304", "404", "422", "424", "500", "503"},
        ),
        (
            "get",
            "/v1/races/{race_id}/figures/{name}.{suffix}",
            {"200", "304", "404", "422", "424", "500", "503"},
        ),
        (
            "post",
            "/v1/runs/{run_id}/points",
            {"200", "400", "404", "409", "413", "415", "422", "500"},
        ),
        (
            "post",
            "/v1/gate",
            {"200", "400", "404", "409", "413", "415", "422", "424", "500", "503"},
        ),
        (
            "post",
            "/v1/prescriptions/verify",
            {"200", "202", "400", "404", "409", "413", "415", "422", "424", "500", "503"},
        ),
    ],
)
def test_every_status_is_documented(
    service: Service, method: str, path: str, statuses: set[str]
) -> None:
    document = service.http.get("/openapi.json").json()
    operation = document["paths"][path][method]
    slow = {"408"} if "requestBody" in operation else set()
    assert set(operation["responses"]) == statuses | OF_THE_DOOR | slow


def test_a_job_has_exactly_the_documented_members(service: Service) -> None:
    document = service.http.get("/openapi.json").json()
    documented = document["components"]["schemas"]["JobView"]["properties"]
    assert service.diagnose(SMALL).keys() == documented.keys()


def test_the_page_for_people_asks_no_other_host(service: Service) -> None:
    page = service.http.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) >= 2
    for path in loaded:
        assert path.startswith("/")
        assert service.http.get(path).status_code == 200

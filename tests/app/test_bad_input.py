"""Nothing that is sent may bring the service down, or learn more than what is wrong with it."""

import json
from typing import Any

import pytest

from tests.service import SMALL, Service

MODEL: dict[str, Any] = SMALL["model"]


def post(service: Service, content: bytes | str, path: str = "/v1/diagnoses") -> Any:
    return service.http.post(path, content=content, headers={"content-type": "application/json"})


def request(**model: Any) -> str:
    return json.dumps({"model": MODEL | model})


@pytest.mark.parametrize("path", ["/v1/diagnoses", "/v1/gate"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (request(colour="red"), "model.colour"),
        (json.dumps(SMALL | {"colour": "red"}), "colour"),
        (request(num_heads=5), "model.num_heads"),
        (request(d_model=0), "model.d_model"),
        (request(d_model=-32), "model.d_model"),
        (request(d_model="32"), "model.d_model"),
        (request(d_model=True), "model.d_model"),
        (request(d_model=32.5), "model.d_model"),
        (request(encoder_layers=0), "model.encoder_layers"),
        (request(encoder_layers=10**300), "model.encoder_layers"),
        (request(decoder_layers=2), "model.decoder_layers"),
        (request(vocab_size=100), "model.vocab_size"),
        (request(dropout=float("nan")), "model.dropout"),
        (request(dropout=float("inf")), "model.dropout"),
        (request(dropout=1.0), "model.dropout"),
        (request(scheme="mid_ln"), "model.scheme"),
        (
            json.dumps(
                {
                    "model": MODEL
                    | {"architecture": "encoder_decoder", "decoder_layers": 2}
                    | {"scheme": {"encoder": "mid_ln", "decoder": "pre_ln"}}
                }
            ),
            "model.scheme.encoder",
        ),
        (request(kind="perceptron"), "model.kind"),
        (json.dumps({"model": MODEL, "data": {"kind": "text", "nam": "x"}}), "data.nam"),
        (json.dumps({"model": MODEL, "data": {"kind": "synthetic"}}), "data.name"),
        (json.dumps({"model": MODEL, "data": {"kind": "video"}}), "data"),
        (json.dumps({"model": MODEL, "training": {"betas": [0.9]}}), "training.betas.1"),
        (json.dumps({"model": MODEL, "training": {"batch_size": 0}}), "training.batch_size"),
        (json.dumps({"model": MODEL, "seed": -1}), "seed"),
        (json.dumps({"model": MODEL, "analyses": []}), "analyses"),
        (
            '{"model": ' + json.dumps(MODEL) + ', "training": {"learning_rate": 1e999}}',
            "training.learning_rate",
        ),
        ("{}", "model"),
        ("[]", ""),
        ("null", ""),
        ("", ""),
    ],
)
def test_a_bad_field_is_named(service: Service, path: str, body: str, field: str) -> None:
    answer = post(service, body, path)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["errors"][0]["field"] == field
    assert problem["detail"].startswith(field or "The body")
    assert "Infinity" not in answer.text
    assert "NaN" not in answer.text


@pytest.mark.parametrize("secret", ["video-hunter2", "hunter2"])
def test_what_was_sent_is_not_sent_back(service: Service, secret: str) -> None:
    bodies = [
        {"model": MODEL, "data": {"kind": secret}},
        {"model": MODEL | {"d_model": secret}},
        {"model": MODEL | {"scheme": secret}},
        {"model": MODEL | {"architecture": secret}},
        {"model": secret},
        {"model": MODEL, "analyses": [secret]},
    ]
    for body in bodies:
        answer = post(service, json.dumps(body))
        assert answer.status_code == 422
        assert secret not in answer.text


def test_a_model_above_the_limit_is_refused_with_both_figures(service: Service) -> None:
    answer = post(service, request(encoder_layers=5_000, d_model=65_536, num_heads=4_096))
    problem = answer.json()
    assert answer.status_code == 422
    assert problem["errors"][0]["field"] == "model"
    assert f"{problem['requested']:,}" in problem["detail"]
    assert f"{problem['limit']:,}" in problem["detail"]
    assert "TRIMTAB_MAX_PARAMETERS" in problem["detail"]


def test_a_batch_above_the_limit_is_refused(service: Service) -> None:
    body = SMALL | {"training": {"batch_size": 1_000, "sequence_length": 1_000}}
    problem = post(service, json.dumps(body)).json()
    assert problem["errors"][0]["field"] == "training.batch_size"
    assert problem["requested"] == 1_000_000


@pytest.mark.parametrize("body", ['{"model": ', "{'model': 1}", "\x00", b"\xff\xfe", "[" * 10_000])
def test_what_is_no_json_is_malformed(service: Service, body: str | bytes) -> None:
    answer = post(service, body)
    assert answer.status_code == 400
    assert answer.json()["type"].endswith("malformed-json")


def test_deep_nesting_is_refused_though_it_is_well_formed(service: Service) -> None:
    answer = post(service, "[" * 10_000 + "]" * 10_000)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


class TestABodyAboveTheLimit:
    LARGE = b'{"model": "' + b"x" * 1024 * 1024 + b'"}'

    def test_that_says_its_length_is_refused(self, service: Service) -> None:
        self.refused(post(service, self.LARGE))

    def test_that_comes_in_chunks_is_refused(self, service: Service) -> None:
        answer = service.http.post(
            "/v1/gate",
            content=(self.LARGE[i : i + 65_536] for i in range(0, len(self.LARGE), 65_536)),
            headers={"content-type": "application/json"},
        )
        self.refused(answer)

    def refused(self, answer: Any) -> None:
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["limit"] == 1024 * 1024


def test_a_body_that_does_not_say_that_it_is_json_is_told_how(service: Service) -> None:
    # As `curl -d` sends it.
    answer = service.http.post(
        "/v1/diagnoses",
        content=json.dumps(SMALL),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == 415
    assert "content-type: application/json" in answer.json()["detail"]


@pytest.mark.parametrize("wait", ["-1", "301", "nan", "inf", "soon"])
def test_a_wait_out_of_bounds_is_refused(service: Service, wait: str) -> None:
    answer = service.http.post("/v1/diagnoses", params={"wait": wait}, json=SMALL)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "wait"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("PUT", "/v1/diagnoses", 405), ("GET", "/v1/gate", 405)],
)
def test_errors_of_the_framework_are_problems_too(
    service: Service, method: str, path: str, status: int
) -> None:
    answer = service.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_a_gate_without_a_verdict_is_refused(service: Service) -> None:
    answer = post(service, json.dumps(SMALL | {"analyses": ["omega"]}), "/v1/gate")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "analyses"


def test_the_service_goes_on_after_all_this(service: Service) -> None:
    assert service.diagnose(SMALL)["state"] == "succeeded"

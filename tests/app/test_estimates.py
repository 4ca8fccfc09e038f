from tests.service import Service

MODEL = {
    "kind": "transformer",
    "architecture": "encoder_decoder",
    "encoder_layers": 2,
    "decoder_layers": 2,
    "d_model": 128,
    "num_heads": 4,
    "vocab_size": 300,
}


def test_an_estimate_answers_at_once_with_a_row_for_each_branch(service: Service) -> None:
    answer = service.http.post("/v1/estimates", json={"model": MODEL})
    assert answer.status_code == 200
    estimate = answer.json()
    assert [row["index"] for row in estimate["branches"]] == [1, 2, 3, 4, 1, 2, 3, 4, 5, 6]
    assert estimate["branches"][0]["path"] == "encoder.layers.0.self_attention"
    assert estimate["branches"][0]["omega"] == 1.0
    assert estimate["applicable"] is True


def test_a_stack_that_takes_no_omegas_says_why(service: Service) -> None:
    body = {"model": MODEL | {"scheme": "pre_ln"}}
    estimate = service.http.post("/v1/estimates", json=body).json()
    assert {row["omega"] for row in estimate["branches"]} == {None}
    assert "no norm follows the addition" in estimate["reason"]


def test_a_model_of_another_kind_is_refused_by_its_field(service: Service) -> None:
    body = {"model": {"kind": "huggingface", "config": {"model_type": "bert"}}}
    answer = service.http.post("/v1/estimates", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "model.kind"

"""Architectures of the Transformers library through the front door."""

import json
from typing import Any

import pytest

from tests.admin_core.huggingface import BERT, GPT2
from tests.service import Service

TRAINING = {"batch_size": 4, "sequence_length": 16}


def body(config: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "model": {"kind": "huggingface", "config": config},
        "training": TRAINING,
        **fields,
    }


def post(service: Service, content: dict[str, Any], path: str = "/v1/diagnoses") -> Any:
    return service.http.post(
        path, content=json.dumps(content), headers={"content-type": "application/json"}
    )


@pytest.mark.parametrize("path", ["/v1/diagnoses", "/v1/gate", "/v1/races"])
@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "model.config.model_type"),
        ({"model_type": 5}, "model.config.model_type"),
        ({"model_type": "hunter2-bert"}, "model.config.model_type"),
        (BERT | {"auto_map": {"AutoModel": "hunter2.M"}}, "model.config.auto_map"),
        (BERT | {"trust_remote_code": True}, "model.config.trust_remote_code"),
        (BERT | {"num_hidden_layers": 10**6}, "model.config.num_hidden_layers"),
        (BERT | {"hidden_size": 10**300}, "model.config.hidden_size"),
        (BERT | {"layer_norm_eps": float("nan")}, "model.config.layer_norm_eps"),
        (BERT | {"vocab_size": 10**9}, "model"),
        ({"model_type": "llama", "hidden_size": 8192, "num_hidden_layers": 80}, "model"),
    ],
)
def test_a_bad_config_is_refused_before_it_is_queued(
    service: Service, path: str, config: dict[str, Any], field: str
) -> None:
    arms = {"arms": [{"name": "arm"}]} if path == "/v1/races" else {}
    answer = post(service, body(config, **arms), path)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    named = problem["errors"][0]["field"]
    assert named in (field, f"arms.0.patch.{field}")
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (BERT | {"num_attention_heads": 5}, "model.config.hidden_size"),
        (BERT | {"hidden_act": "hunter2"}, "model.config.hidden_act"),
        (GPT2 | {"n_embd": "hunter2"}, "model.config.n_embd"),
        # By its config alone, this one could be small enough.
        ({"model_type": "bert", "intermediate_size": 10**6}, "model"),
    ],
)
def test_what_only_the_library_can_tell_is_the_job_s_problem(
    service: Service, config: dict[str, Any], field: str
) -> None:
    job = service.diagnose(body(config))
    assert job["state"] == "failed"
    assert job["problem"]["status"] == 422
    assert job["problem"]["errors"][0]["field"] == field
    assert "hunter2" not in json.dumps(job["problem"])


def test_a_forward_that_raises_is_told_with_its_module(service: Service) -> None:
    job = service.diagnose(body(BERT | {"max_position_embeddings": 4}))
    assert job["state"] == "failed"
    assert job["problem"]["type"].endswith("forward-failed")
    assert job["problem"]["module"] == "bert.embeddings"
    assert "must match the existing size (4)" in job["problem"]["message"]


def test_a_config_is_gated_with_its_report(service: Service) -> None:
    answer = post(service, body(BERT), "/v1/gate")
    assert answer.status_code == 200, answer.text
    job = service.http.get(answer.json()["links"]["diagnosis"]).json()
    assert job["spec"]["model"]["config"] == BERT
    paths = [branch["path"] for branch in job["report"]["branches"]]
    assert paths[0] == "bert.encoder.layer.0.attention"
    omegas = service.http.get(f"{job['links']['omega']}?format=clinic").text.splitlines()
    assert len(omegas) == len(paths) == 4


def test_a_race_takes_configs_and_the_arm_admin(service: Service) -> None:
    wide = {"name": "wide", "patch": {"model": {"config": {"intermediate_size": 128}}}}
    training = TRAINING | {"steps": 4, "warmup_steps": 2}
    request = body(BERT, arms=["post_ln", "admin", wide], seeds=1) | {"training": training}
    answer = service.http.post("/v1/races", params={"wait": 120}, json=request)
    assert answer.status_code == 200, answer.text
    race = answer.json()
    assert race["state"] == "succeeded", race["problem"]
    sizes = {arm["name"]: arm["seeds"][0]["num_parameters"] for arm in race["report"]["arms"]}
    assert sizes["post_ln"] < sizes["admin"] < sizes["wide"]


def test_a_race_of_a_scheme_that_the_architecture_is_not_fails_with_the_reason(
    service: Service,
) -> None:
    request = body(BERT, arms=["pre_ln"], seeds=1)
    answer = service.http.post("/v1/races", params={"wait": 60}, json=request).json()
    assert answer["state"] == "failed"
    assert "its library's choice" in answer["problem"]["detail"]
    assert answer["problem"]["errors"][0]["field"] == "model.scheme"
    refused = service.http.post("/v1/races", json=body(BERT, arms=["rezero"]))
    assert refused.json()["errors"][0]["field"] == "arms.0.patch.model.scheme"

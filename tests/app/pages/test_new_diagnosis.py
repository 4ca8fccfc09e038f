"""The form that asks for a diagnosis."""

import html
import json
import re
from typing import Any

import pytest

from app.pages.spec_form import form_of_spec
from tests.app.pages.conftest import Pages
from tests.service import SMALL
from worker import jobs


def ask(pages: Pages, spec: dict[str, Any], **changed: str) -> Any:
    """Post the form as a browser without script would."""
    form = {name: values for name, values in form_of_spec(spec).items() if values != [""]}
    fields = form | {"json": [json.dumps(spec)]} | {k: [v] for k, v in changed.items()}
    return pages.post("/new", fields)


def asked_by(pages: Pages, answer: Any) -> Any:
    """The spec of the job to which a form has led."""
    job = jobs.get(pages.store, answer.headers["location"].removeprefix("/diagnoses/"))
    assert job is not None
    return job.spec


def test_a_preset_fills_it_in(pages: Pages) -> None:
    page = pages.get("/new", params={"preset": "paper-60-12-admin"}).text
    assert 'name="model.encoder_layers" value="60"' in page
    assert re.search(r'<option value="admin" selected>', page)
    assert '"encoder_layers": 60' in html.unescape(page)
    assert pages.get("/new", params={"preset": "none"}).status_code == 404


def test_what_was_asked_can_be_asked_again_changed(pages: Pages) -> None:
    page = pages.get("/new", params={"from": pages.queued(SMALL)}).text
    assert 'name="model.d_model" value="32"' in page


def test_it_is_submitted_without_script(pages: Pages) -> None:
    spec = SMALL | {"analyses": ["omega"]}
    answer = ask(pages, spec, **{"model.encoder_layers": "3", "seed": "7"})
    assert answer.status_code == 303, answer.text
    asked = asked_by(pages, answer)
    assert asked["model"]["encoder_layers"] == 3
    assert asked["seed"] == 7
    assert asked["analyses"] == ["omega"]


def test_what_has_no_field_is_taken_from_the_json(pages: Pages) -> None:
    spec = SMALL | {"analyses": ["omega"], "omega": {"convention": "clinic", "seeds": 2}}
    answer = ask(pages, spec)
    asked = asked_by(pages, answer)
    assert asked["omega"]["seeds"] == 2
    only_json = {"by": "json", "json": json.dumps(spec | {"seed": 3}), "seed": "4"}
    answer = pages.post("/new", only_json)
    assert asked_by(pages, answer)["seed"] == 3


@pytest.mark.parametrize(
    ("changed", "field", "said"),
    [
        ({"model.num_heads": "5"}, "model.num_heads", "5 heads do not divide"),
        ({"model.d_model": "wide"}, "model.d_model", "number"),
        ({"model.encoder_layers": ""}, "model.encoder_layers", "Needed by the architecture"),
        ({"training.learning_rate": "-1"}, "training.learning_rate", "greater than 0"),
        ({"training.betas.1": "2"}, "training.betas.1", "less than 1"),
        ({"data.kind": "upload", "data.id": "mine"}, "data.id", "pattern"),
        ({"json": "{"}, "json", "cannot be read as JSON"),
        ({"json": '{"modle": 1}'}, "json", "modle"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(
    pages: Pages, changed: dict[str, str], field: str, said: str
) -> None:
    answer = ask(pages, SMALL, **changed)
    assert answer.status_code == 422
    page = html.unescape(answer.text)
    assert f'<a href="#{field}">' in page
    error = re.search(rf'id="{re.escape(field)}-error"[^>]*>([^<]*)<', page)
    assert error is not None
    assert said in error[1]
    input_ = re.search(rf'<(?:input|select|textarea) id="{re.escape(field)}"[^>]*>', page)
    assert input_ is not None
    assert 'aria-invalid="true"' in input_[0]
    if field != "json":
        assert html.escape(changed.get(field, "")) in page


def test_a_config_of_hugging_face_is_taken_as_it_is(pages: Pages) -> None:
    config = {"model_type": "bert", "num_hidden_layers": 2, "hidden_size": 32}
    config |= {"num_attention_heads": 2, "intermediate_size": 64}
    fields = {"model.kind": "huggingface", "huggingface.config": json.dumps(config)}
    answer = ask(pages, {"analyses": ["omega"]}, **fields)
    assert answer.status_code == 303, answer.text
    asked = asked_by(pages, answer)
    assert asked["model"]["config"] == config
    fields["huggingface.config"] = json.dumps(config | {"auto_map": {}})
    refused = ask(pages, {"analyses": ["omega"]}, **fields)
    assert refused.status_code == 422
    assert 'id="huggingface.config-error"' in refused.text


def test_a_form_that_is_too_large_or_none_is_refused(pages: Pages) -> None:
    large = pages.post("/new", content=b"x" * 4_000_000)
    assert large.status_code == 422
    assert pages.post("/new", content=b"a=%ff").status_code == 422

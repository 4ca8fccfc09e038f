"""What a person does with the pages, done by a browser."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from admin_core.race_spec import RaceSpec
from admin_core.report import Report
from tests.app.pages.conftest import TINY
from tests.browser.conftest import Shown, Watched
from tests.service import SMALL, Service, until
from worker import jobs, races
from worker.keys import Scope

Look = Callable[..., Watched]

RACE: dict[str, Any] = {
    "model": {"architecture": "decoder_only", "decoder_layers": 2, "d_model": 16, "num_heads": 2},
    "training": {"steps": 400, "warmup_steps": 5, "batch_size": 2, "sequence_length": 8},
    "arms": ["post_ln", "admin"],
    "seeds": 1,
    "monitoring": {"every": 0},
}

DRAWN = "async img => { img.loading = 'eager'; await img.decode(); return img.naturalWidth }"
"""The width of a picture once it is there."""


def test_a_diagnosis_is_asked_for_in_the_form_and_read(service: Service, watched: Look) -> None:
    page = watched(service.url).open("/new")
    # What is typed as JSON is in the form, and what is chosen in the form is in the JSON.
    page.get_by_label("The same as JSON").fill(json.dumps(SMALL | {"analyses": ["omega"]}))
    expect(page.get_by_label("width, d_model")).to_have_value("32")
    expect(page.get_by_label("architecture")).to_have_value("encoder_only")
    expect(page.get_by_label("decoder layers")).to_be_hidden()
    page.get_by_label("encoder layers").fill("3")
    page.get_by_label("dependency").check()
    spec = json.loads(page.get_by_label("The same as JSON").input_value())
    assert spec["model"]["encoder_layers"] == 3
    assert spec["analyses"] == ["omega", "dependency"]
    page.get_by_role("button", name="Diagnose", exact=True).click()
    expect(page.get_by_role("heading", name="How to cite")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("3-layer encoder")
    assert page.locator("#figure-omega img").evaluate(DRAWN)


def test_it_is_asked_for_without_script_too(service: Service, watched: Look) -> None:
    page = watched(service.url, java_script_enabled=False).open("/new?preset=bert-base")
    page.get_by_label("encoder layers").fill("2")
    page.get_by_label("width, d_model").fill("48")
    page.get_by_label("feed-forward width").fill("")
    for name in ("verdict", "output change", "dependency", "gradients"):
        page.get_by_label(name, exact=True).uncheck()
    page.get_by_role("button", name="Diagnose", exact=True).click()
    # The page looks again by itself.
    expect(page.get_by_role("heading", name="How to cite")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("2-layer encoder, Post-LN, width 48")


def test_a_wrong_field_is_told_where_it_stands(shown: Shown, watched: Look) -> None:
    here = watched(shown.url)
    page = here.open("/new")
    page.get_by_label("attention heads").fill("5")
    here.refusals = 1
    page.get_by_role("button", name="Diagnose", exact=True).click()
    field = page.get_by_label("attention heads")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description("5 heads do not divide d_model = 128")
    # By keyboard: the list of errors has the focus, and its first link leads to the field.
    expect(page.locator("#errors")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{shown.url}/new#model.num_heads")


def test_a_config_json_is_taken_from_a_file(shown: Shown, watched: Look, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"model_type": "bert", "num_hidden_layers": 3}))
    page = watched(shown.url).open("/new")
    page.get_by_label("a Hugging Face config.json").check()
    page.get_by_label("Choose a config.json").set_input_files(file)
    expect(page.locator("[id='huggingface.config']")).to_have_value(
        '{\n  "model_type": "bert",\n  "num_hidden_layers": 3\n}'
    )
    spec = json.loads(page.get_by_label("The same as JSON").input_value())
    assert spec["model"] == {
        "kind": "huggingface",
        "config": {"model_type": "bert", "num_hidden_layers": 3},
    }


def test_a_config_json_is_taken_where_it_is_dropped(shown: Shown, watched: Look) -> None:
    page = watched(shown.url).open("/new")
    dropped = page.evaluate_handle(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(['{"model_type": "gpt2"}'], "config.json"));
            return data;
        }"""
    )
    page.get_by_label("a Hugging Face config.json").check()
    page.dispatch_event("[data-drop]", "drop", {"dataTransfer": dropped})
    expect(page.get_by_label("The same as JSON")).to_have_value(
        '{\n  "model": {\n    "kind": "huggingface",\n    "config": {\n'
        '      "model_type": "gpt2"\n    }\n  }\n}'
    )


CURVE_AND_LOSS = """
    document.querySelector(".live polyline") &&
    [...document.querySelectorAll("[data-loss]")].some(cell => cell.textContent !== "-")
"""


def wait_until(page: Page, expression: str) -> None:
    """Playwright's own waiting evaluates text in the page, which its policy forbids."""
    until(lambda: bool(page.evaluate(expression)), seconds=200)


def test_a_race_is_watched_live_to_its_end(service: Service, watched: Look) -> None:
    race = service.http.post("/v1/races", params={"fresh": True}, json=RACE).json()
    page = watched(service.url).open(f"/races/{race['id']}")
    wait_until(page, CURVE_AND_LOSS)
    expect(page.get_by_role("heading", name="Conclusion")).to_be_attached()
    expect(page.get_by_role("heading", name="Downloads")).to_be_visible()


def test_curves_grow_with_every_step_that_is_told(shown: Shown, watched: Look) -> None:
    store = shown.api.store
    race_id, (first, *_) = races.submit(store, RaceSpec.model_validate(RACE))
    claim = jobs.claim(store, first, worker="a-worker", lease_seconds=600)
    assert claim is not None
    page = watched(shown.url).open(f"/races/{race_id}")
    for step in (1, 2):
        point = {"step": step, "loss": 5.5 - step, "learning_rate": 0.1, "tokens_per_second": 1.0}
        jobs.beat(store, claim, lease_seconds=600, stage="training", share=step / 4, points=[point])
        expect(page.locator("[data-loss]").first).to_have_text(f"{5.5 - step:.3f}")
        expect(page.locator("[data-done]").first).to_have_text(f"{25 * step} %")
    wait_until(
        page,
        "document.querySelector('.live polyline').getAttribute('points').split(' ').length == 2",
    )


def test_a_race_is_cancelled(service: Service, watched: Look) -> None:
    long = RACE | {"training": RACE["training"] | {"steps": 20_000}}
    race = service.http.post("/v1/races", params={"fresh": True}, json=long).json()
    page = watched(service.url).open(f"/races/{race['id']}")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible()
    assert service.http.get(f"/v1/races/{race['id']}").json()["state"] == "cancelled"


def test_a_prescription_is_raced_against_the_model(
    shown: Shown, unstable: Report, watched: Look
) -> None:
    job_id = shown.diagnosed(TINY | {"seed": 1}, unstable)
    page = watched(shown.url).open(f"/diagnoses/{job_id}")
    page.get_by_label("steps").fill("20")
    page.get_by_role("button", name="Race it against the model").click()
    expect(page.get_by_role("heading", name="Waiting for a worker")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("patient, prescription")


def test_two_jobs_are_chosen_and_compared(shown: Shown, unstable: Report, watched: Look) -> None:
    other = TINY | {"model": TINY["model"] | {"scheme": "admin"}}
    ids = [shown.diagnosed(spec, unstable) for spec in (TINY, other)]
    page = watched(shown.url).open("/")
    for job_id in ids:
        page.locator(f"input[value='{job_id}']").check()
    page.get_by_role("button", name="Compare the chosen").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Comparison of 2")
    expect(page.get_by_role("row", name="model.scheme")).to_contain_text("admin")
    picture = page.locator("#figure-output_change img")
    assert picture.evaluate(DRAWN) > 100


def test_every_format_is_downloaded(shown: Shown, unstable: Report, watched: Look) -> None:
    job_id = shown.diagnosed(TINY | {"seed": 2}, unstable)
    page = watched(shown.url).open(f"/diagnoses/{job_id}")
    links = page.locator("#downloads ~ ul a, #figure-omega a")
    sizes = {}
    for link in links.all():
        with page.expect_download() as download:
            link.click()
        sizes[link.inner_text()] = download.value.path().stat().st_size
    assert sizes.keys() == {
        *("report.html", "report.md", "report.json", "junit.xml"),
        *("omegas: json", "omegas: clinic", "omegas: deepnmt", "omegas: safetensors"),
        *("SVG", "PNG", "Vega-Lite with data"),
    }
    assert min(sizes.values()) > 50, sizes


def test_sub_layers_are_sorted_and_code_is_copied(
    shown: Shown, unstable: Report, watched: Look
) -> None:
    here = watched(shown.url, permissions=["clipboard-read", "clipboard-write"])
    page = here.open(f"/diagnoses/{shown.diagnosed(TINY | {'seed': 3}, unstable)}")
    heading = page.get_by_role("columnheader", name="Var branch")
    for order, descending in (("ascending", False), ("descending", True)):
        heading.get_by_role("link").click()
        expect(heading).to_have_attribute("aria-sort", order)
        shown_now = page.locator(".sortable tbody td:nth-child(5)").evaluate_all(
            "cells => cells.map(cell => Number(cell.dataset.value))"
        )
        assert shown_now == sorted(shown_now, reverse=descending)
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == {
        "model": {"scheme": "admin"}
    }


def test_a_key_opens_the_pages(walled: Shown, watched: Look) -> None:
    key = walled.api.key(Scope.ADMIN, name="the boss")
    here = watched(walled.url)
    here.refusals = 2
    page = here.open("/keys")
    page.get_by_label("Key").fill("tt_no_key")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Key")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Key").fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Keys")
    expect(page.get_by_role("row", name="the boss")).to_contain_text("admin")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")

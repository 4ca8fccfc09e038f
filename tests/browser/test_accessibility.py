"""axe-core finds nothing serious on any page, light or dark, wide or narrow."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from admin_core.race_spec import RaceSpec
from admin_core.report import Report
from admin_core.watched_run import StepPoint, WatchedRunSpec
from tests.app.pages.conftest import RACE, TINY
from tests.browser.conftest import Shown, Watched
from worker import jobs, races, watched_runs
from worker.jobs import Claim
from worker.keys import Scope
from worker.problem import FORWARD_FAILED

SERIOUS = ("serious", "critical")
OPTIONS: dict[str, Any] = {"resultTypes": ["violations"]}

LOOKS: list[dict[str, Any]] = [
    {"color_scheme": scheme, "viewport": viewport}
    for scheme in ("light", "dark")
    for viewport in ({"width": 1200, "height": 900}, {"width": 390, "height": 800})
]


@pytest.fixture(scope="module")
def addresses(shown: Shown, unstable: Report) -> dict[str, int]:
    """One of every page, with its status."""
    store = shown.api.store
    queued, failing = (jobs.submit(store, _spec(seed))[0] for seed in (101, 102))
    claim = jobs.claim(store, failing, worker="a-worker", lease_seconds=600)
    assert isinstance(claim, Claim)
    jobs.fail(store, claim, FORWARD_FAILED.problem("At model.layer, two shapes do not fit."))
    cancelled = jobs.submit(store, _spec(103))[0]
    jobs.cancel(store, cancelled)
    diagnosed = [shown.diagnosed(TINY | {"seed": seed}, unstable) for seed in (104, 105)]
    race_id, _ = races.submit(store, RaceSpec.model_validate(RACE))
    run_id, _ = watched_runs.begin(
        store, WatchedRunSpec(name="my run", steps=100), silence_seconds=600
    )
    watched_runs.push(
        store, run_id, [StepPoint(step=1, loss=5.5)], silence_seconds=600, most_points=10
    )
    compared = "&".join(f"job={job_id}" for job_id in diagnosed)
    found = ["/", "/?state=cancelled&kind=run", "/new", "/new?preset=huggingface-gpt2", "/keys"]
    found += [f"/diagnoses/{each}" for each in (queued, failing, cancelled, diagnosed[0])]
    found += [f"/races/{race_id}", f"/runs/{run_id}", "/compare", f"/compare?{compared}"]
    return dict.fromkeys(found, 200) | {"/sign-in": 200, "/diagnoses/none": 404}


def _spec(seed: int) -> Any:
    from admin_core.spec import DiagnosisSpec

    return DiagnosisSpec.model_validate(TINY | {"seed": seed})


@pytest.mark.parametrize(
    "look", LOOKS, ids=lambda look: f"{look['color_scheme']}-{look['viewport']['width']}"
)
def test_no_page_keeps_anybody_out(
    shown: Shown,
    addresses: dict[str, int],
    watched: Callable[..., Watched],
    look: dict[str, Any],
) -> None:
    here = watched(shown.url, **look)
    axe = Axe()
    found = {}
    for path, status in addresses.items():
        here.refusals = int(status >= 400)
        # Figures take a while to be drawn, and axe does not look into them.
        here.context.route("**/figures/**", lambda route: route.fulfill(status=204))
        page = here.open(path)
        for details in page.locator("details").all():
            details.evaluate("element => { element.open = true }")
        violations = axe.run(page, options=OPTIONS).response["violations"]
        serious = [
            f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
            for each in violations
            if each["impact"] in SERIOUS
            for node in each["nodes"]
        ]
        too_wide = page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        if serious or too_wide:
            found[path] = [*serious, *(["wider than the screen"] if too_wide else [])]
    assert found == {}


def test_the_first_tab_leads_past_the_navigation(
    shown: Shown, watched: Callable[..., Watched]
) -> None:
    page = watched(shown.url).open("/new")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_keys_are_named_for_who_reads_them_aloud(
    walled: Shown, watched: Callable[..., Watched]
) -> None:
    key = walled.api.key(Scope.ADMIN)
    here = watched(walled.url)
    here.refusals = 1
    page = here.open("/")
    assert not Axe().run(page, options=OPTIONS).response["violations"]
    page.get_by_label("Key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Sign out")
    page.goto("/keys")
    found = Axe().run(page, options=OPTIONS).response["violations"]
    assert [each["id"] for each in found if each["impact"] in SERIOUS] == []

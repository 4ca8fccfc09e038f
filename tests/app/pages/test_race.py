"""The pages of races and of watched training loops."""

import html
import re

from admin_core.race_spec import RaceSpec
from admin_core.watched_run import StepPoint, WatchedRunSpec
from tests.admin_core.reports import HOSTILE, raced
from tests.app.pages.conftest import RACE, Pages
from worker import jobs, races, watched_runs


def test_a_race_under_way_has_a_place_for_its_curves_and_each_run(pages: Pages) -> None:
    race_id, _ = races.submit(pages.store, RaceSpec.model_validate(RACE))
    page = pages.get(f"/races/{race_id}").text
    assert f'data-events="/v1/races/{race_id}/events" data-steps="12"' in page
    assert page.count("<tr data-arm=") == 4
    assert html.escape(HOSTILE[:10], quote=True) in page
    assert "<img" not in page
    answer = pages.post(f"/races/{race_id}/cancel")
    assert answer.headers["location"] == f"/races/{race_id}"
    assert "Cancelled" in pages.get(f"/races/{race_id}").text


def test_a_finished_race_shows_its_conclusion_its_arms_and_how_it_was_decided(
    pages: Pages,
) -> None:
    report = raced()
    page = pages.get(f"/races/{pages.raced(report)}")
    assert page.status_code == 200
    text = html.unescape(page.text)
    assert report.conclusion.split(".")[0] in text
    assert text.index("Arms") < text.index("What was measured") < text.index("Downloads")
    for rule in report.rules.values():
        assert rule in text
    for name in ("report.html", "report.md", "report.json", "curves.csv", "curves.json"):
        address = re.search(rf'href="(/v1/races/[^"]*/{name})"', page.text)
        assert address is not None
        if name != "report.html":
            assert pages.get(address[1]).status_code == 200


def test_a_watched_loop_shows_where_it_is_and_can_be_let_go(pages: Pages) -> None:
    spec = WatchedRunSpec(name=HOSTILE, steps=100)
    run_id, _ = watched_runs.begin(pages.store, spec, silence_seconds=60)
    point = StepPoint(step=7, loss=2.5)
    watched_runs.push(pages.store, run_id, [point], silence_seconds=60, most_points=100)
    page = pages.get(f"/runs/{run_id}").text
    assert "Training" in page
    assert re.search(r"last loss</dt><dd data-loss>2.5<", page)
    assert "<img" not in page
    assert pages.post(f"/runs/{run_id}/cancel").status_code == 303
    found = jobs.get(pages.store, run_id)
    assert found is not None
    assert found.state == "cancelled"
    assert "Cancelled" in pages.get(f"/runs/{run_id}").text

"""The page of a diagnosis."""

import html
import json
import re

from admin_core.report import Report
from tests.admin_core.reports import HOSTILE, deep_diagnosis, diagnosis
from tests.app.pages.conftest import TINY, Pages
from worker import jobs
from worker.jobs import JobName, State
from worker.problem import FORWARD_FAILED


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def test_reads_from_the_verdict_down_to_the_citation(pages: Pages, unstable: Report) -> None:
    page = pages.get(f"/diagnoses/{pages.finished(unstable)}").text
    headings = re.findall(r"<h2[^>]*>(?:<svg.*?</svg>)?([^<]*)", page)
    assert headings[0] == "Expected to fail"
    order = ["Why", "What would help", "What was measured", "12 sub-layers", "Downloads"]
    places = [headings.index(heading) for heading in [*order, "How to cite"]]
    assert places == sorted(places)


def test_says_each_reason_and_shows_each_patch(pages: Pages, unstable: Report) -> None:
    text = text_of(pages.get(f"/diagnoses/{pages.finished(unstable)}").text)
    assert unstable.verdict is not None
    assert "93 %" in text
    for reason in unstable.verdict.reasons:
        assert reason.explanation in text
    for prescription in unstable.verdict.prescriptions:
        assert prescription.change in text
        assert json.dumps(prescription.patch) in text


def test_one_without_a_verdict_shows_what_was_measured(pages: Pages, unstable: Report) -> None:
    report = unstable.model_copy(
        update={"verdict": None, "amplification": None, "dependency": None, "gradients": None}
    )
    page = pages.get(f"/diagnoses/{pages.finished(report)}").text
    assert "No verdict was asked for" in page
    assert "/figures/branches.svg" in page
    assert "/figures/gradients.svg" not in page


def test_every_link_and_figure_of_it_is_there(pages: Pages, unstable: Report) -> None:
    page = pages.get(f"/diagnoses/{pages.finished(unstable)}").text
    linked = set(re.findall(r'(?:href|src|srcset)="(/[^"#]*)"', page))
    drawn = [link for link in linked if ".svg" in link and "/figures/" in link]
    assert len(drawn) == 6 * 4
    light = [link for link in drawn if link.endswith("svg?theme=light")]
    narrow = [link for link in drawn if link.endswith("?theme=dark&amp;layout=narrow")]
    others = [link for link in linked if "/figures/" not in link]
    for link in (*light, narrow[0], *others):
        assert pages.get(html.unescape(link)).status_code == 200, link


def test_sub_layers_are_sorted_without_script(pages: Pages, unstable: Report) -> None:
    job_id = pages.finished(unstable)
    query = {"sort": "branch_variance", "order": "down"}
    page = pages.get(f"/diagnoses/{job_id}", params=query).text
    table = page[page.index('<table class="sortable"') :]
    shown = re.findall(r'<td class="name">([^<]*)</td>', table[: table.index("</table>")])
    branches = sorted(unstable.branches, key=lambda branch: -branch.branch_variance)
    assert shown == [branch.path for branch in branches]
    assert 'aria-sort="descending"' in table
    assert pages.get(f"/diagnoses/{job_id}?sort=none").status_code == 422


def test_a_prescription_is_raced_by_a_form(pages: Pages, unstable: Report) -> None:
    job_id = pages.finished(unstable)
    asked = {"prescription": "0", "steps": "12", "seeds": "1"}
    answer = pages.post(f"/diagnoses/{job_id}/race", asked)
    assert answer.status_code == 303, answer.text
    race = jobs.get(pages.store, answer.headers["location"].removeprefix("/races/"))
    assert race is not None
    assert race.kind == JobName.RACE
    assert [arm["name"] for arm in race.spec["arms"]] == ["patient", "prescription"]
    assert race.spec["training"]["steps"] == 12
    refused = pages.post(f"/diagnoses/{job_id}/race", asked | {"steps": "many"})
    assert refused.status_code == 422
    assert "Give a whole number" in refused.text
    assert pages.post(f"/diagnoses/{job_id}/race", asked | {"prescription": "2"}).status_code == 422


def test_one_that_is_not_finished_is_looked_at_again_and_can_be_cancelled(pages: Pages) -> None:
    waiting = pages.queued()
    running = pages.running(TINY | {"seed": 1}).job_id
    for job_id in (waiting, running):
        page = pages.get(f"/diagnoses/{job_id}").text
        assert "<progress" in page
        assert '<noscript><meta http-equiv="refresh"' in page
        answer = pages.post(f"/diagnoses/{job_id}/cancel")
        assert answer.headers["location"] == f"/diagnoses/{job_id}"
    assert "left no report" in pages.get(f"/diagnoses/{waiting}").text
    assert "told to stop" in pages.get(f"/diagnoses/{running}").text


def test_a_form_of_another_site_is_turned_away(pages: Pages) -> None:
    job_id = pages.queued()
    for headers in ({"origin": "https://else.where"}, {"sec-fetch-site": "cross-site"}):
        answer = pages.post(f"/diagnoses/{job_id}/cancel", headers=headers)
        assert answer.status_code == 403
        assert answer.headers["content-type"].startswith("text/html")
    found = jobs.get(pages.store, job_id)
    assert found is not None
    assert found.state == State.QUEUED


def test_one_that_failed_says_why_in_words(pages: Pages) -> None:
    claim = pages.running()
    jobs.fail(pages.store, claim, FORWARD_FAILED.problem("At <here>, shapes do not fit."))
    page = pages.get(f"/diagnoses/{claim.job_id}").text
    assert "Failed" in page
    assert "At &lt;here&gt;, shapes do not fit." in page
    assert "Attempts" in page
    assert "a-worker" in page


def test_one_of_another_version_is_not_shown_wrongly(pages: Pages) -> None:
    claim = pages.running()
    jobs.succeed(pages.store, claim, {"verdict": {"outcome": "stable"}})
    page = pages.get(f"/diagnoses/{claim.job_id}")
    assert page.status_code == 424
    assert "another version" in page.text


def test_a_pushed_report_is_shown_and_its_name_is_only_a_name(pages: Pages) -> None:
    report = diagnosis().model_dump(mode="json")
    branches = [branch | {"path": HOSTILE} for branch in report["branches"]]
    job_id, _ = jobs.keep_report(
        pages.store,
        {"kind": "pushed", "model": HOSTILE, "training": {}},
        report | {"branches": branches},
    )
    page = pages.get(f"/diagnoses/{job_id}").text
    assert "pushed report" in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<img src=x" not in page
    assert "Race it" not in page


def test_five_hundred_sub_layers_are_all_there_in_a_page_of_half_a_megabyte(pages: Pages) -> None:
    page = pages.get(f"/diagnoses/{pages.finished(deep_diagnosis(500))}")
    assert page.text.count('<td class="name">encoder') == 500
    assert len(page.content) < 500_000

"""Jobs side by side."""

import html
import re

from admin_core.report import Report
from tests.admin_core.reports import diagnosis, raced
from tests.app.pages.conftest import TINY, Pages


def test_without_jobs_there_is_a_list_to_choose_from(pages: Pages) -> None:
    assert "No job has finished yet" in pages.get("/compare").text
    job_id = pages.finished(diagnosis())
    page = pages.get("/compare", params={"job": job_id}).text
    assert f'value="{job_id}"' in page
    assert "checked" in page


def test_says_what_differs_and_draws_what_is_common(pages: Pages, unstable: Report) -> None:
    other = TINY | {"training": TINY["training"] | {"learning_rate": 0.5}}
    ids = [pages.finished(diagnosis()), pages.finished(unstable, other)]
    page = pages.get("/compare", params={"job": ids})
    assert page.status_code == 200
    text = html.unescape(page.text)
    assert re.search(r"training.learning_rate</th><td>0.001</td><td>0.5</td>", text)
    assert "failure probability" in text
    figures = re.findall(r'srcset="([^"]*theme=dark&amp;job=[^"]*)"', page.text)
    assert len(figures) == 2
    drawn = pages.get(html.unescape(figures[0]))
    assert drawn.headers["content-type"].startswith("image/svg+xml")
    assert "A  3-2 encoder-decoder" in drawn.text
    assert pages.get(figures[0].replace("output_change", "none")).status_code == 404


def test_a_diagnosis_and_a_race_share_a_page(pages: Pages) -> None:
    ids = [pages.finished(diagnosis()), pages.raced(raced())]
    page = pages.get("/compare", params={"job": ids})
    assert page.status_code == 200
    assert "Training loss" in page.text


def test_a_job_that_is_not_there_is_said_to_be_missing(pages: Pages) -> None:
    assert pages.get("/compare", params={"job": ["none", "other"]}).status_code == 404

"""The start page: jobs, filters, pages."""

import html
import re
from html.parser import HTMLParser

from admin_core.report import Report
from tests.app.pages.conftest import TINY, Pages
from worker import jobs

LISTED = re.compile(r'<a href="(/diagnoses/[^"]+)">')


class Elements(HTMLParser):
    """Every start tag of a page, with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_begins_with_what_can_be_done_where_nothing_was_asked(pages: Pages) -> None:
    page = pages.get("/").text
    assert "Will this Transformer train?" in page
    assert "curl &#39;http://127.0.0.1:8000/v1/diagnoses" in page


def test_lists_jobs_in_words_with_links_to_their_pages(pages: Pages, unstable: Report) -> None:
    job_id = pages.finished(unstable)
    page = pages.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert f'<a href="/diagnoses/{job_id}">3-2 encoder-decoder, Post-LN, width 16</a>' in page.text
    assert "unstable" in page.text


def test_nothing_may_be_loaded_from_elsewhere_nor_run_inline(
    pages: Pages, unstable: Report
) -> None:
    job_id = pages.finished(unstable)
    for path in ("/", "/new", f"/diagnoses/{job_id}", "/diagnoses/none"):
        page = pages.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        for tag, attributes in Elements(page.text).found:
            assert tag != "style"
            assert not {name for name in attributes if name == "style" or name.startswith("on")}
            assert tag != "script" or attributes["src"]
            for name in ("src", "srcset", "href", "action"):
                assert not re.match(r"\w+:|//", attributes.get(name) or "")


def test_filters_choose_and_say_where_nothing_is_like_that(pages: Pages, unstable: Report) -> None:
    job_id = pages.finished(unstable)
    pages.queued(TINY | {"seed": 1})
    assert job_id in pages.get("/", params={"kind": "diagnosis", "outcome": "unstable"}).text
    assert len(LISTED.findall(pages.get("/", params={"state": "queued"}).text)) == 1
    assert "No job is like that" in pages.get("/", params={"kind": "race", "state": ""}).text
    assert pages.get("/", params={"state": "lost"}).status_code == 422


def test_older_jobs_are_on_further_pages_with_the_same_filters(pages: Pages) -> None:
    for seed in range(28):
        job_id = pages.queued(TINY | {"seed": seed})
        if seed >= 2:
            jobs.cancel(pages.store, job_id)
    first = pages.get("/", params={"state": "cancelled"})
    older = re.search(r'href="([^"]+)" rel="next"', first.text)
    assert older is not None
    second = pages.get(html.unescape(older[1])).text
    assert len(LISTED.findall(first.text)) == 25
    assert len(LISTED.findall(second)) == 1
    assert 'rel="next"' not in second


def test_a_static_file_may_be_kept_for_good_and_others_are_not_there(pages: Pages) -> None:
    address = re.search(r'href="(/assets/style\.css\?v=\w+)"', pages.get("/").text)
    assert address is not None
    style = pages.get(address[1])
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in style.headers["cache-control"]
    for name in ("none.css", "..%2fpage.py", "page.py"):
        assert pages.get(f"/assets/{name}").status_code == 404

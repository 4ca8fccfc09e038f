import base64
import hashlib
import re
from html.parser import HTMLParser

from admin_core.report_files.about import About
from admin_core.report_files.html import html
from admin_core.report_files.security import content_security_policy
from tests.admin_core.reports import HOSTILE, deep_diagnosis, diagnosis, raced

REQUEST = {"model": {"note": HOSTILE}}


class Reader(HTMLParser):
    """The tags, the attributes and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_says_the_verdict_before_anything_else() -> None:
    page = Reader(html(diagnosis(), About(title="A model")))
    verdict = diagnosis().verdict
    assert verdict is not None
    body = page.text[page.text.index("A model", page.text.index("A model") + 1) :]
    assert re.match(rf"A model\s+{verdict.outcome.value.replace('_', ' ')}\s", body)
    assert verdict.reasons[0].explanation in body


def test_shows_every_figure_with_its_caption() -> None:
    page = Reader(html(diagnosis(), About(title="A model")))
    assert page.tags.count("svg") == page.tags.count("figcaption") == 6
    assert page.tags.count("figure") == 6
    assert Reader(html(raced(), About(title="A race"))).tags.count("svg") == 3


def test_runs_no_script_and_loads_nothing() -> None:
    page = Reader(html(raced(), About(title=HOSTILE, request=REQUEST)))
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name not in {"src", "style", "srcset"}
        if not name.startswith("xmlns"):
            assert "http:" not in (value or "")
            assert "https:" not in (value or "")


def test_a_hostile_name_is_text() -> None:
    page = Reader(html(raced(), About(title=HOSTILE, request=REQUEST)))
    # The title, the heading, the table and the conclusion; figures say it once more.
    assert page.text.count("<img src=x onerror=alert(1)> & `]]>|**b** @all") >= 4


def test_its_own_policy_lets_its_style_through_and_nothing_else() -> None:
    text = html(diagnosis(), About(title="A model"))
    assert content_security_policy() in text.replace("&#39;", "'")
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in content_security_policy()
    assert "unsafe" not in text.partition("<style>")[0]
    assert text.count("<style>") == 1


def test_a_very_deep_model_stays_below_a_megabyte_and_a_half() -> None:
    assert len(html(deep_diagnosis(500), About(title="A model"))) < 1_500_000


def test_a_report_without_a_verdict_is_shown_without_one() -> None:
    report = diagnosis().model_copy(update={"verdict": None, "amplification": None})
    page = Reader(html(report, About(title="Omegas")))
    assert ("class", "verdict stable") not in page.attributes
    assert "What the verdict rests on" not in page.text

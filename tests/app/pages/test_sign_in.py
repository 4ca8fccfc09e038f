"""Pages where a key is needed."""

import re

from app.auth import SESSION_COOKIE
from tests.admin_core.reports import diagnosis
from tests.app.pages.conftest import Pages
from worker.keys import Scope

OWN = {"sec-fetch-site": "same-origin"}


def sign_in(pages: Pages, key: str, there: str = "/") -> str | None:
    """Where the form leads; none if it does not."""
    answer = pages.post("/sign-in", {"key": key, "there": there}, headers=OWN)
    location: str | None = answer.headers.get("location")
    return location


def test_asks_for_a_key_at_every_address_and_leads_back_to_it(pages: Pages) -> None:
    key = pages.api.key()
    job_id = pages.finished(diagnosis())
    for path in ("/", "/new", f"/diagnoses/{job_id}", "/compare?job=a&job=b", "/keys"):
        page = pages.get(path)
        assert page.status_code == 401
        assert job_id not in page.text or path.endswith(job_id)
        there = re.search(r'name="there" value="([^"]*)"', page.text)
        assert there is not None
        assert there[1].replace("&amp;", "&") == path
    assert sign_in(pages, key, f"/diagnoses/{job_id}") == f"/diagnoses/{job_id}"
    # What was made without a key is not there for one.
    assert pages.get(f"/diagnoses/{job_id}").status_code == 404
    assert pages.get("/").status_code == 200
    assert "Signed in as a key" in pages.get("/").text


def test_a_wrong_key_is_told_so_at_its_field(pages: Pages) -> None:
    pages.api.key()
    answer = pages.post("/sign-in", {"key": "tt_no_key"}, headers=OWN)
    assert answer.status_code == 401
    assert 'aria-describedby="key-error"' in answer.text
    assert SESSION_COOKIE not in answer.cookies
    foreign = pages.post("/sign-in", {"key": "x"}, headers={"origin": "https://else.where"})
    assert foreign.status_code == 403


def test_signing_out_ends_it(pages: Pages) -> None:
    assert sign_in(pages, pages.api.key()) == "/"
    answer = pages.post("/sign-out", headers=OWN)
    assert answer.headers["location"] == "/sign-in"
    assert pages.get("/").status_code == 401


def test_nobody_is_led_elsewhere(pages: Pages) -> None:
    key = pages.api.key()
    for there in ("https://else.where/", "//else.where", "/\\else.where", "javascript:alert(1)"):
        assert sign_in(pages, key, there) == "/"


def test_keys_are_listed_for_admins_alone(pages: Pages) -> None:
    assert "No key was ever made" in pages.get("/keys").text
    plain, admin = pages.api.key(name="plain"), pages.api.key(Scope.ADMIN, name="the boss")
    assert sign_in(pages, plain) == "/"
    assert pages.get("/keys").status_code == 403
    assert "/keys" not in pages.get("/").text
    assert sign_in(pages, admin) == "/"
    page = pages.get("/keys").text
    assert "plain" in page
    assert "the boss" in page
    assert plain not in page


def test_a_key_that_may_only_read_may_not_ask(pages: Pages) -> None:
    assert sign_in(pages, pages.api.key(Scope.READ)) == "/"
    answer = pages.post("/new", {"by": "json", "json": "{}"}, headers=OWN)
    assert answer.status_code == 403
    assert "submit" in answer.text

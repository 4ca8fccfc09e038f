"""Who is let in, and what is there for them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from admin_core.race_spec import RaceSpec
from admin_core.spec import DiagnosisSpec
from app.auth import SESSION_COOKIE, NoKeyError, guarded
from tests.admin_core.reports import diagnosis
from tests.app.in_process import Api, api
from tests.app.test_races import TINY
from tests.service import SMALL
from worker.keys import Scope
from worker.requester import Requester
from worker.settings import RequireKey, Settings
from worker.store import Store

TEXT = b"to be or not to be\n" * 200


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Api]:
    with api(tmp_path) as found:
        yield found


@pytest.fixture
def walled(tmp_path: Path) -> Iterator[Api]:
    """Needs a key whatever there is."""
    with api(tmp_path, require_key="always") as found:
        yield found


class TestWithoutAKey:
    def test_everything_is_open_on_loopback_while_there_is_none(self, here: Api) -> None:
        caller = here.caller()
        assert caller.post("/v1/diagnoses", json=SMALL).status_code == 202
        assert len(caller.get("/v1/jobs").json()["jobs"]) == 1

    def test_nothing_is_open_once_there_is_one(self, here: Api) -> None:
        here.key()
        answer = here.caller().get("/v1/jobs")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json()["type"] == "urn:trimtab:problem:key-needed"

    def test_a_request_that_believes_to_be_elsewhere_is_refused(self, here: Api) -> None:
        # As of a browser whose page has its own name resolve to 127.0.0.1.
        for host in ("evil.example", "evil.example:8000", "[::1", "localhost.evil.example", ""):
            answer = here.caller().get("/v1/jobs", headers={"host": host})
            assert answer.status_code == 403, host
        for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
            assert here.caller().get("/v1/jobs", headers={"host": host}).status_code == 200

    def test_a_proxy_may_stand_before_it_where_that_is_said(self, tmp_path: Path) -> None:
        with api(tmp_path, require_key="never") as here:
            here.key()
            answer = here.caller().get("/v1/jobs", headers={"host": "trimtab.example"})
            assert answer.status_code == 200

    def test_health_and_documents_need_none(self, walled: Api) -> None:
        caller = walled.caller()
        for path in ("/healthz", "/openapi.json", "/docs"):
            assert caller.get(path).status_code == 200

    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    def test_every_other_address_is_closed(self, walled: Api, method: str) -> None:
        open_to_all = {"/healthz", "/readyz"}
        document = walled.app.openapi()
        closed = [
            path.replace("{", "").replace("}", "")
            for path, operations in document["paths"].items()
            if method.lower() in operations and path not in open_to_all
        ]
        assert closed
        for path in closed:
            answer = walled.caller().request(method, path)
            assert answer.status_code == 401, path


class TestAKey:
    def test_opens_what_its_scopes_say(self, walled: Api) -> None:
        reader, writer = (
            walled.caller(walled.key(Scope.READ)),
            walled.caller(walled.key(Scope.SUBMIT)),
        )
        assert reader.get("/v1/jobs").status_code == 200
        refused = reader.post("/v1/diagnoses", json=SMALL)
        assert refused.status_code == 403
        assert "trimtab keys create NAME --scope submit" in refused.json()["detail"]
        assert writer.post("/v1/diagnoses", json=SMALL).status_code == 202
        assert writer.get("/v1/jobs").status_code == 403

    def test_that_is_wrong_is_never_taken_for_none(self, here: Api) -> None:
        # Nor does a session stand in for it.
        answer = here.caller("tt_000000000000_nonsense").get("/v1/jobs")
        assert answer.status_code == 401

    @pytest.mark.parametrize(
        "header", ["", "Bearer", "Bearer ", "Basic eDp5", "{key}", "Token {key}", "Bearer {key}x"]
    )
    def test_is_read_from_a_bearer_header_alone(self, walled: Api, header: str) -> None:
        sent = {"Authorization": header.format(key=walled.key())}
        answer = walled.caller().get("/v1/jobs", headers=sent)
        assert answer.status_code == 401

    def test_comes_once_or_not_at_all(self, walled: Api) -> None:
        key = walled.key()
        twice = [("Authorization", f"Bearer {key}")] * 2
        assert walled.caller().get("/v1/jobs", headers=twice).status_code == 401


class TestWhatBelongsToAnotherKey:
    """Alice has one of everything; to Bob it is as if it were not there."""

    @pytest.fixture
    def ids(self, walled: Api) -> dict[str, str]:
        """By the parameter that stands for it in an address, Alice's."""
        alice = walled.caller(walled.key(name="alice"))
        spec = {"model": "hers", "training": {}}
        report = {"spec": spec, "report": diagnosis().model_dump(mode="json")}
        made = {
            "job_id": alice.post("/v1/reports", json=report),
            "race_id": alice.post("/v1/races", json=TINY),
            "run_id": alice.post("/v1/runs", json={"name": "hers"}),
            "dataset_id": alice.post(
                "/v1/datasets", content=TEXT, headers={"content-type": "text/plain"}
            ),
        }
        return {name: answer.json()["id"] for name, answer in made.items()}

    def test_is_not_there_at_any_address(self, walled: Api, ids: dict[str, str]) -> None:
        bob, admin = walled.caller(walled.key()), walled.caller(walled.key(Scope.ADMIN))
        tried = 0
        for method, path in _addresses(walled, ids):
            if path.endswith("/events"):
                continue  # Of hers, they would not end.
            answer = bob.request(method, path, json={"points": []} if "points" in path else None)
            if "/finish" in path:
                answer = bob.post(path, json={"state": "succeeded"})
            assert answer.status_code == 404, (method, path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            tried += 1
            if method == "GET":
                assert admin.get(path).status_code != 404, path
        assert tried > 20

    def test_is_refused_in_the_words_for_what_never_was(
        self, walled: Api, ids: dict[str, str]
    ) -> None:
        bob = walled.caller(walled.key())
        for name, path in (
            ("job_id", "/v1/diagnoses/{}"),
            ("race_id", "/v1/races/{}/events"),
            ("run_id", "/v1/runs/{}/events"),
            ("dataset_id", "/v1/datasets/{}"),
        ):
            hers = bob.get(path.format(ids[name]))
            never = bob.get(path.format("01900000-0000-7000-8000-000000000000"))
            assert (hers.status_code, hers.json()) == (404, never.json())

    def test_is_in_no_list_but_an_admins(self, walled: Api, ids: dict[str, str]) -> None:
        bob, admin = walled.caller(walled.key()), walled.caller(walled.key(Scope.ADMIN))
        assert bob.get("/v1/jobs").json() == {"jobs": [], "next_cursor": None}
        assert bob.get("/v1/datasets").json() == {"datasets": [], "next_cursor": None}
        assert len(admin.get("/v1/jobs").json()["jobs"]) == 3
        assert len(admin.get("/v1/datasets").json()["datasets"]) == 1

    def test_cannot_be_named_in_a_request(self, walled: Api, ids: dict[str, str]) -> None:
        bob = walled.caller(walled.key())
        reading_hers = SMALL | {"data": {"kind": "upload", "id": ids["dataset_id"]}}
        answer = bob.post("/v1/diagnoses", json=reading_hers)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "data.id")
        answer = bob.post("/v1/gate", params={"baseline": ids["job_id"]}, json=SMALL)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (404, "baseline")
        answer = bob.post("/v1/prescriptions/verify", json={"diagnosis": ids["job_id"]})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (404, "diagnosis")

    def test_does_not_answer_for_anybody_else(self, walled: Api) -> None:
        alice, bob = walled.caller(walled.key()), walled.caller(walled.key())
        key = {"Idempotency-Key": "nightly"}
        for path, body in (("/v1/diagnoses", SMALL), ("/v1/races", TINY)):
            hers = alice.post(path, json=body).json()
            assert alice.post(path, json=body).json()["id"] == hers["id"]
            his = bob.post(path, json=body).json()
            assert his["id"] != hers["id"]
            assert "reused" not in his["links"]
            # The same word of two callers is two idempotency keys.
            body = body | ({"seeds": [7]} if "arms" in body else {"seed": 7})
            hers = alice.post(path, json=body, headers=key).json()
            assert alice.post(path, json=body, headers=key).json()["id"] == hers["id"]
            other = body | {"training": {"batch_size": 3, "sequence_length": 8}}
            assert bob.post(path, json=other, headers=key).status_code == 202
            key = {"Idempotency-Key": "another"}

    def test_is_another_data_set_though_its_content_is_the_same(self, walled: Api) -> None:
        alice, bob = walled.caller(walled.key()), walled.caller(walled.key())
        plain = {"content-type": "text/plain"}
        hers = alice.post("/v1/datasets", content=TEXT, headers=plain)
        his = bob.post("/v1/datasets", content=TEXT, headers=plain)
        assert (hers.status_code, his.status_code) == (201, 201)
        assert hers.json()["id"] != his.json()["id"]
        assert bob.delete(f"/v1/datasets/{his.json()['id']}").status_code == 204
        assert alice.get(f"/v1/datasets/{hers.json()['id']}").status_code == 200


class TestSessions:
    """What a browser has in place of a key."""

    def test_open_what_the_key_opens(self, walled: Api) -> None:
        browser = walled.caller()
        browser.cookies.set(SESSION_COOKIE, _session(walled, walled.key()))
        assert browser.get("/v1/jobs").status_code == 200
        browser.cookies.set(SESSION_COOKIE, "nonsense")
        assert browser.get("/v1/jobs").status_code == 401

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"sec-fetch-site": "same-origin"}, 202),
            ({"sec-fetch-site": "none"}, 202),
            ({"origin": "http://127.0.0.1:8000"}, 202),
            # Another port is another site's as well as another host.
            ({"sec-fetch-site": "same-site"}, 403),
            ({"sec-fetch-site": "cross-site"}, 403),
            ({"origin": "http://127.0.0.1:9000"}, 403),
            ({"origin": "https://evil.example"}, 403),
            ({"origin": "null"}, 403),
            ({"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8000"}, 403),
            ({}, 403),
        ],
    )
    def test_change_things_for_pages_of_this_service_alone(
        self, walled: Api, headers: dict[str, str], status: int
    ) -> None:
        browser = walled.caller()
        browser.cookies.set(SESSION_COOKIE, _session(walled, walled.key()))
        answer = browser.post("/v1/diagnoses", json=SMALL, headers=headers)
        assert answer.status_code == status

    def test_are_kept_from_scripts_and_other_sites(self, walled: Api) -> None:
        for scheme in ("http", "https"):
            response = Response()
            assert _sign_in(walled, walled.key(), response, scheme=scheme)
            cookie = response.headers["set-cookie"].lower()
            assert "httponly" in cookie
            assert "samesite=lax" in cookie
            assert ("secure" in cookie) == (scheme == "https")

    def test_end_when_the_browser_signs_out(self, walled: Api) -> None:
        token = _session(walled, walled.key())
        request = _request(
            {"origin": "http://127.0.0.1:8000", "cookie": f"{SESSION_COOKIE}={token}"}
        )
        walled.app.state.doorkeeper.sign_out(request, Response())
        browser = walled.caller()
        browser.cookies.set(SESSION_COOKIE, token)
        assert browser.get("/v1/jobs").status_code == 401

    def test_are_not_given_for_a_wrong_key(self, walled: Api) -> None:
        response = Response()
        assert not _sign_in(walled, "tt_000000000000_nonsense", response)
        assert "set-cookie" not in response.headers


class TestAKeylessOperatorsBrowser:
    def test_is_not_used_by_other_sites(self, here: Api) -> None:
        for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            answer = here.caller().post("/v1/diagnoses", json=SMALL, headers=headers)
            assert answer.status_code == 403


class TestBeyondLoopback:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "trimtab.example", ""])
    def test_nothing_listens_without_a_key(self, store: Store, tmp_path: Path, host: str) -> None:
        with pytest.raises(NoKeyError, match="trimtab keys create"):
            guarded(Settings(home=tmp_path), store, host=host)

    def test_every_request_needs_one(self, here: Api) -> None:
        here.key()
        settings = guarded(here.settings, here.store, host="0.0.0.0")
        assert settings.require_key is RequireKey.ALWAYS
        careless = here.settings.model_copy(update={"require_key": RequireKey.NEVER})
        with pytest.raises(NoKeyError, match="lets everybody in"):
            guarded(careless, here.store, host="0.0.0.0")

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
    def test_loopback_stays_as_it_is_set(self, store: Store, tmp_path: Path, host: str) -> None:
        settings = Settings(home=tmp_path)
        assert guarded(settings, store, host=host) is settings


def test_specs_that_readers_know_are_the_ones_written_down(walled: Api) -> None:
    """Whose a job is is written beside it, and nowhere in what its owner sees."""
    key = walled.key(name="alice")
    job = walled.caller(key).post("/v1/diagnoses", json=SMALL)
    assert key not in job.text
    assert DiagnosisSpec.model_validate(job.json()["spec"])
    assert RaceSpec.model_validate(walled.caller(key).post("/v1/races", json=TINY).json()["spec"])
    assert "key_id" not in json.dumps(job.json())
    assert Requester().key_id == ""


def _addresses(api: Api, ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Every operation below something of Alice's."""
    fill: dict[str, Any] = {**ids, "suffix": "json"}
    for path, operations in api.app.openapi()["paths"].items():
        if any(f"{{{name}}}" in path for name in ids):
            fill["name"] = "curves" if path.startswith("/v1/races") else "omega"
            for method in sorted(operations, reverse=True):
                if method != "delete":
                    yield method.upper(), path.format(**fill)
    for path in ("diagnoses", "races", "runs", "datasets"):
        name = {"diagnoses": "job_id"}.get(path, f"{path[:-1]}_id")
        yield "DELETE", f"/v1/{path}/{ids[name]}"


def _request(headers: dict[str, str], scheme: str = "http") -> Request:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"host", b"127.0.0.1:8000"))
    return Request(
        {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": raw}
        | {"scheme": scheme, "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 1)}
    )


def _sign_in(api: Api, key: str, response: Response, scheme: str = "http") -> bool:
    request = _request({"origin": f"{scheme}://127.0.0.1:8000"}, scheme)
    given: bool = api.app.state.doorkeeper.sign_in(request, response, key)
    return given


def _session(api: Api, key: str) -> str:
    response = Response()
    assert _sign_in(api, key, response)
    return response.headers["set-cookie"].partition("=")[2].partition(";")[0]

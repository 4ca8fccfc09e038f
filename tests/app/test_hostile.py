"""What somebody sends who means harm; the table in docs/security.md has a row for each class.

What is refused on its form alone is in `test_bad_input`, and who may see what in `test_auth`.
"""

import gzip
import json
import pickle
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import body, slow_clients
from tests.app.in_process import Api, api
from tests.app.in_thread import Listening, listening
from tests.service import SMALL, until
from worker import jobs
from worker.jobs import JobName, State

JSON = {"content-type": "application/json"}
MODEL: dict[str, Any] = SMALL["model"]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with api(tmp_path_factory.mktemp("hostile")) as found:
        yield found


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Listening]:
    with listening(tmp_path, max_streams_per_key=2) as found:
        yield found


class TestAJsonBomb:
    """Each is below the limit of a body, and must cost no more than its size."""

    @pytest.mark.parametrize(
        ("content", "status"),
        [
            # Every member breaks a rule.
            ('{"model": {' + ",".join(f'"a{i}": 0' for i in range(70_000)) + "}}", 422),
            ('{"model": {}, "analyses": [' + ",".join(["0"] * 90_000) + "]}", 422),
            # More than anybody can mean.
            ('{"model": [' + ",".join(["0"] * 400_000) + "]}", 413),
            # Depth, closed and left open.
            ('{"model": ' * 5_000 + "1" + "}" * 5_000, 400),
            ("[" * 500_000, 400),
            # Numbers that take long to read.
            ('{"seed": ' + "9" * 1_000_000 + "}", 400),
            ('{"seed": 1e' + "9" * 1_000_000 + "}", 422),
            ('{"model": "' + "\\u0000" * 150_000 + '"}', 422),
        ],
        ids=["members", "items", "values", "closed", "open", "digits", "exponent", "zeros"],
    )
    def test_is_defused(self, here: Api, content: str, status: int) -> None:
        began = time.process_time()
        answer = here.caller().post("/v1/diagnoses", content=content, headers=JSON)
        assert answer.status_code == status
        assert len(answer.content) < 100_000
        # Without the bounds the first of them took hours.
        assert time.process_time() - began < 10

    def test_cannot_be_packed(self, here: Api) -> None:
        packed = gzip.compress(b" " * 50_000_000)
        headers = JSON | {"content-encoding": "gzip"}
        answer = here.caller().post("/v1/diagnoses", content=packed, headers=headers)
        assert answer.status_code == 400
        headers = {"content-type": "text/plain", "content-encoding": "gzip"}
        answer = here.caller().post("/v1/datasets", content=packed, headers=headers)
        assert answer.status_code == 422


class TestText:
    @pytest.mark.parametrize(
        "name", ["\ud800", "a\udfffb", "\u0000", "\u202egnirts", "ﬁ", "e\u0301", "😀" * 50]
    )
    def test_of_any_kind_is_kept_as_it_is_or_refused(self, here: Api, name: str) -> None:
        content = json.dumps({"name": name})
        answer = here.caller().post("/v1/runs", content=content, headers=JSON)
        assert answer.status_code in (201, 400, 422)
        if answer.status_code == 201:
            seen = here.caller().get(answer.headers["Location"]).json()
            assert seen["spec"]["name"] == name

    def test_that_only_looks_like_a_scheme_is_none(self, here: Api) -> None:
        body = SMALL | {"model": MODEL | {"scheme": "pre_ln\u200b"}}
        assert here.caller().post("/v1/diagnoses", json=body).status_code == 422


PATHS = ("..", "../../etc/passwd", "%2e%2e%2fetc%2fpasswd", "..%5c..%5c", "/etc/passwd", "\0", "~")


class TestANameThatClimbs:
    @pytest.mark.parametrize("name", PATHS)
    def test_leads_nowhere_in_an_address(self, here: Api, name: str) -> None:
        document = here.app.openapi()["paths"]
        tried = 0
        for path, operations in document.items():
            if "{" not in path or "get" not in operations:
                continue
            filled = path
            for parameter in operations["get"].get("parameters", ()):
                if parameter["in"] == "path":
                    quoted = name.replace("\0", "%00").replace("/", "%2f")
                    filled = filled.replace(f"{{{parameter['name']}}}", quoted)
            assert here.caller().get(filled).status_code in (404, 405, 422), filled
            tried += 1
        assert tried > 15

    @pytest.mark.parametrize("name", PATHS)
    def test_leads_nowhere_in_a_body(self, here: Api, name: str) -> None:
        for data in (
            {"kind": "upload", "id": name},
            {"kind": "text", "name": name},
            {"kind": "hub", "name": name},
            {"kind": "hub", "name": f"a/{name}"},
            {"kind": "hub", "name": "a/b", "config": name},
            {"kind": "hub", "name": "a/b", "revision": name},
            {"kind": "hub", "name": "a/b", "split": name},
        ):
            answer = here.caller().post("/v1/diagnoses", json=SMALL | {"data": data})
            assert answer.status_code == 422, data

    @pytest.mark.parametrize("name", PATHS)
    def test_is_no_file_name_of_an_upload(self, here: Api, name: str) -> None:
        before = sorted(here.settings.home.rglob("*"))
        answer = here.caller().post(
            "/v1/datasets",
            params={"column": name},
            content=b'{"a": "b"}\n' * 50,
            headers={"content-type": "application/jsonl"},
        )
        assert answer.status_code == 422
        assert sorted(here.settings.home.rglob("*")) == [
            *before,
            *([] if here.settings.datasets in before else [here.settings.datasets]),
        ]


class TestADataSetsName:
    @pytest.mark.parametrize(
        "name",
        [
            "http://169.254.169.254/latest/meta-data",
            "//evil.example/x",
            "file:///etc/passwd",
            "evil.example:80/x",
            "a@evil.example/x",
            "a/b?x=y",
            "a/b#c",
            "a/b/c",
            "a\\b/c",
            "localhost/x\r\nHost: evil.example",
        ],
    )
    def test_is_no_address(self, tmp_path: Path, name: str) -> None:
        # Though the hub may be asked.
        with api(tmp_path, allow_hub=True) as here:
            data = {"kind": "hub", "name": name}
            answer = here.caller().post("/v1/diagnoses", json=SMALL | {"data": data})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "data.name"

    def test_is_not_looked_up_unless_the_operator_allows_it(self, here: Api) -> None:
        data = {"kind": "hub", "name": "wikitext/wikitext"}
        answer = here.caller().post("/v1/diagnoses", json=SMALL | {"data": data})
        assert answer.status_code == 422


class _Evil:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._trace,)


class TestAPickle:
    @pytest.mark.parametrize(
        "declared", ["text/plain", "application/jsonl", "application/octet-stream"]
    )
    def test_is_not_opened(self, here: Api, tmp_path: Path, declared: str) -> None:
        trace = tmp_path / "trace"
        content = pickle.dumps(_Evil(trace))
        answer = here.caller().post(
            "/v1/datasets", content=content, headers={"content-type": declared}
        )
        assert answer.status_code in (415, 422)
        assert not trace.exists()
        pickle.loads(content)
        assert trace.exists()


def _answer(connection: socket.socket) -> bytes:
    """All of one whose body is a JSON object."""
    answer = b""
    while not answer.endswith(b"}"):
        received = connection.recv(10_000)
        assert received, answer
        answer += received
    return answer


class TestASlowClient:
    def test_that_does_not_end_its_head_is_let_go(
        self, monkeypatch: pytest.MonkeyPatch, heard: Listening
    ) -> None:
        monkeypatch.setattr(slow_clients, "HEAD_SECONDS", 0.2)
        with heard.connect() as silent, heard.connect() as slow:
            slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            assert silent.recv(1) == b""
            assert slow.recv(1) == b""

    def test_that_begins_a_second_request_is_watched_too(
        self, monkeypatch: pytest.MonkeyPatch, heard: Listening
    ) -> None:
        monkeypatch.setattr(slow_clients, "HEAD_SECONDS", 0.2)
        with heard.connect() as slow:
            slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b"200 OK" in _answer(slow)
            slow.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow")
            assert slow.recv(1) == b""

    def test_that_does_not_end_its_body_is_told_so(
        self, monkeypatch: pytest.MonkeyPatch, heard: Listening
    ) -> None:
        monkeypatch.setattr(body, "BODY_SECONDS", 0.2)
        with heard.connect() as slow:
            slow.sendall(
                b"POST /v1/diagnoses HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
            )
            answer = _answer(slow)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"body-too-slow" in answer

    def test_does_not_keep_the_others_waiting(self, heard: Listening) -> None:
        connections = [heard.connect() for _ in range(50)]
        for slow in connections:
            slow.sendall(b"GET / HTTP/1.1\r\n")
        assert httpx.get(f"{heard.url}/healthz").status_code == 200
        for slow in connections:
            slow.close()


class TestAHeader:
    @pytest.mark.parametrize("sent", ["a b", "<script>", "x" * 65, "a\tb", "é", ""])
    def test_that_is_no_plain_id_is_not_sent_back(self, here: Api, sent: str) -> None:
        headers = {b"X-Request-ID": sent.encode("latin-1")}
        answer = here.caller().get("/healthz", headers=headers)
        assert len(answer.headers.get_list("X-Request-ID")) == 1
        assert answer.headers["X-Request-ID"] != sent

    def test_that_is_one_is(self, here: Api) -> None:
        answer = here.caller().get("/healthz", headers={"X-Request-ID": "build-7/step.2"})
        assert answer.headers["X-Request-ID"] == "build-7/step.2"

    def test_cannot_be_split(self, heard: Listening) -> None:
        for head in (
            b"X-Request-ID: a\r\n evil: b",
            b"X-Request-ID: a\rSet-Cookie: b",
            b"X-Request-ID: a\0b",
        ):
            with heard.connect() as connection:
                connection.sendall(
                    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n\r\n"
                )
                answer = connection.recv(10_000).lower()
            assert b"\r\nset-cookie" not in answer
            assert b"\r\nevil" not in answer

    def test_comes_from_no_address(self, here: Api) -> None:
        answer = here.caller().get("/v1/diagnoses/x%0d%0aSet-Cookie:%20a=b/report.html")
        assert answer.status_code == 404
        assert "set-cookie" not in answer.headers


class TestEventStreams:
    def test_are_so_many_and_no_more(self, heard: Listening) -> None:
        with httpx.Client(base_url=heard.url, timeout=20) as http:
            run = http.post("/v1/runs", json={"name": "a loop"}).headers["Location"]
            first = http.stream("GET", f"{run}/events")
            second = http.stream("GET", f"{run}/events")
            with first as opened, second as opened_too:
                assert (opened.status_code, opened_too.status_code) == (200, 200)
                refused = http.get(f"{run}/events")
                assert refused.status_code == 429
                assert refused.json()["type"].endswith("too-many-streams")
                assert int(refused.headers["Retry-After"]) > 0
                # Only streams are counted.
                assert http.get(run).status_code == 200
            # The places are free again once their streams have ended.
            http.post(f"{run}/finish", json={"state": "succeeded"})
            until(lambda: http.get(f"{run}/events").status_code == 200)


class TestGuessingKeys:
    def test_is_answered_less_and_less(self, tmp_path: Path) -> None:
        with api(tmp_path, require_key="always") as here:
            guesser = here.caller("tt_000000000000_guess", address="192.0.2.1")
            statuses = [guesser.get("/v1/jobs").status_code for _ in range(35)]
            assert statuses == [401] * 30 + [429] * 5
            assert int(guesser.get("/v1/jobs").headers["Retry-After"]) > 0
            # Nobody is kept out by a neighbour who guesses, and others may still mistype.
            assert here.caller(here.key(), address="192.0.2.1").get("/v1/jobs").status_code == 200
            elsewhere = here.caller("tt_000000000000_guess", address="192.0.2.2")
            assert elsewhere.get("/v1/jobs").status_code == 401


class TestRates:
    def test_are_bounded_for_each_key(self, tmp_path: Path) -> None:
        rates = {"rate_limit": "5/hour", "submit_rate_limit": "2/hour"}
        with api(tmp_path, require_key="always", **rates) as here:
            busy, other = here.caller(here.key()), here.caller(here.key())
            assert [busy.get("/v1/presets").status_code for _ in range(6)] == [200] * 5 + [429]
            refused = busy.get("/v1/presets")
            assert refused.json()["type"].endswith("rate-limited")
            assert 0 < int(refused.headers["Retry-After"]) <= 3_600
            asked = [other.post("/v1/runs", json={"name": "x"}).status_code for _ in range(3)]
            assert asked == [201, 201, 429]
            assert other.get("/v1/presets").status_code == 200

    def test_are_bounded_for_each_address_where_no_key_is_needed(self, tmp_path: Path) -> None:
        with api(tmp_path, rate_limit="3/hour") as here:
            one, another = here.caller(address="127.0.0.1"), here.caller(address="127.0.0.2")
            assert [one.get("/v1/presets").status_code for _ in range(4)] == [200] * 3 + [429]
            assert another.get("/v1/presets").status_code == 200


class TestJobsJustUnderTheLimits:
    def test_are_so_many_for_each_key(self, tmp_path: Path) -> None:
        with api(tmp_path, require_key="always", max_jobs_per_key=3) as here:
            busy, other = here.caller(here.key()), here.caller(here.key())
            large = SMALL | {"model": MODEL | {"d_model": 1_024, "encoder_layers": 70}}
            asked = [busy.post("/v1/diagnoses", json=large | {"seed": i}) for i in range(4)]
            assert [answer.status_code for answer in asked] == [202, 202, 202, 429]
            assert asked[3].json()["type"].endswith("too-many-jobs")
            assert int(asked[3].headers["Retry-After"]) > 0
            # The same question again is no job more, and others have room.
            assert busy.post("/v1/diagnoses", json=large | {"seed": 0}).status_code == 202
            assert other.post("/v1/diagnoses", json=large).status_code == 202
            # There is room again when one has ended.
            assert busy.delete(asked[0].headers["Location"]).status_code == 200
            assert busy.post("/v1/diagnoses", json=large | {"seed": 9}).status_code == 202

    def test_are_so_many_for_all(self, tmp_path: Path) -> None:
        with api(tmp_path, max_queued_jobs=2) as here:
            caller = here.caller()
            asked = [caller.post("/v1/diagnoses", json=SMALL | {"seed": i}) for i in range(3)]
            assert [answer.status_code for answer in asked] == [202, 202, 503]
            assert asked[2].json()["type"].endswith("queue-full")
            assert int(asked[2].headers["Retry-After"]) > 0
            # What needs no worker needs no room in the queue.
            assert caller.post("/v1/runs", json={"name": "x"}).status_code == 201
            kept = jobs.newest(here.store, limit=10, state=State.QUEUED)
            assert [job.kind for job in kept] == [JobName.DIAGNOSIS] * 2

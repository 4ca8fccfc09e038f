"""What an operator sees: health, figures, logs and traces."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from app.auth import SESSION_COOKIE
from tests.app.in_process import api
from tests.service import SMALL, Service, until
from worker import keys
from worker.keys import Scope
from worker.settings import Settings
from worker.store import Store


def test_healthz_says_that_the_process_answers(service: Service) -> None:
    assert service.http.get("/healthz").json() == {"status": "ok"}


def test_readyz_says_that_database_broker_and_worker_are_there(service: Service) -> None:
    checks = service.http.get("/readyz").json()["checks"]
    assert checks == {"database": True, "broker": True, "worker": True}


def test_readyz_says_what_is_missing(tmp_path: Path) -> None:
    with api(tmp_path) as here:
        answer = here.caller().get("/readyz")
    assert answer.status_code == 503
    # Its queue is in memory, where there is nothing to reach.
    assert answer.json()["checks"] == {"database": True, "broker": False, "worker": False}
    assert answer.headers["Retry-After"]


class Receiver:
    """Takes traces as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        spans: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    content = gzip.decompress(content)
                for resource in ExportTraceServiceRequest.FromString(content).resource_spans:
                    for scope in resource.scope_spans:
                        spans.extend(scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.spans = spans
        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("k")


@pytest.fixture(scope="module")
def shown_once(folder: Path) -> dict[str, str]:
    """Keys and a session, as they are shown once."""
    store = Store(Settings(home=folder).database_url)
    store.migrate()
    both = (Scope.SUBMIT, Scope.READ)
    shown = {
        "mine": keys.create(store, "mine", both)[1],
        "admin": keys.create(store, "admin", [Scope.ADMIN])[1],
    }
    key = keys.find(store, shown["mine"])
    assert key is not None
    shown["session"] = keys.start_session(store, key, lifetime_seconds=3_600)
    store.close()
    return shown


@pytest.fixture(scope="module")
def guarded(folder: Path, shown_once: dict[str, str], receiver: Receiver) -> Iterator[Service]:
    service = Service(folder, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url})
    service.wait_until_ready()
    yield service
    assert service.stop() == 0


@pytest.fixture(scope="module")
def done(guarded: Service, shown_once: dict[str, str]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {shown_once['mine']}", "X-Request-ID": "build-7"}
    made = guarded.http.post("/v1/diagnoses", params={"wait": 90}, json=SMALL, headers=headers)
    assert made.status_code == 200, made.text
    return made


def _lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


class TestAServiceWithKeys:
    """One job through the front door of a service that is told to trace, and what it leaves."""

    def test_answers_who_shows_one(self, guarded: Service, done: httpx.Response) -> None:
        assert guarded.http.get("/v1/jobs").status_code == 401
        assert done.json()["state"] == "succeeded"
        assert done.headers["X-Request-ID"] == "build-7"

    def test_has_the_request_on_every_line_of_its_job(
        self, folder: Path, done: httpx.Response
    ) -> None:
        job_id = done.json()["id"]

        def told() -> list[dict[str, Any]]:
            lines = _lines(folder / "logs" / "worker.log")
            return [line for line in lines if line.get("job_id") == job_id]

        # The answer is there before the worker has said so.
        until(lambda: len(told()) == 2, seconds=30)
        assert [line["event"] for line in told()] == ["begun", "succeeded"]
        assert {line["request_id"] for line in told()} == {"build-7"}
        lines = _lines(folder / "logs" / "serve.log")
        (request,) = [line for line in lines if line.get("request_id") == "build-7"]
        assert (request["method"], request["path"], request["status"]) == (
            "POST",
            "/v1/diagnoses",
            200,
        )

    def test_traces_a_job_from_its_request_to_its_attempt(
        self, receiver: Receiver, done: httpx.Response
    ) -> None:
        def of(name: str) -> list[Any]:
            return [span for span in list(receiver.spans) if name in span.name]

        until(lambda: bool(of("attempt") and of("POST")), seconds=30)
        (attempt,) = of("attempt")
        posted = next(span for span in of("POST") if span.trace_id == attempt.trace_id)
        assert attempt.parent_span_id
        assert posted.span_id

    def test_tells_its_figures_to_an_admin_alone(
        self, guarded: Service, shown_once: dict[str, str], done: httpx.Response
    ) -> None:
        for key, status in (("mine", 403), ("admin", 200)):
            headers = {"Authorization": f"Bearer {shown_once[key]}"}
            answer = guarded.http.get("/metrics", headers=headers)
            assert answer.status_code == status
        found = {
            sample.name: sample
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }
        assert found["trimtab_attempts_total"].value == 1
        assert found["trimtab_job_duration_seconds_count"].labels["kind"] == "diagnosis"
        # Of two processes, of which one has torch loaded.
        assert found["trimtab_worker_memory_bytes"].value > 50_000_000

    def test_leaves_no_secret_anywhere(
        self,
        guarded: Service,
        folder: Path,
        shown_once: dict[str, str],
        receiver: Receiver,
        done: httpx.Response,
    ) -> None:
        said = [done]
        for secret in shown_once.values():
            for headers in (
                {"Authorization": f"Bearer {secret}x"},
                {"Authorization": f"Basic {secret}"},
                {"Authorization": f"Bearer {secret}", "content-type": "application/json"},
                {"Cookie": f"{SESSION_COOKIE}={secret}"},
            ):
                said.append(guarded.http.get("/v1/jobs", headers=headers))
                said.append(guarded.http.post("/v1/gate", headers=headers, content=b"{"))
        assert {answer.status_code for answer in said} >= {200, 400, 401}
        kept = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
        # The log, the database with its write-ahead log, the broker's file, and what was printed.
        assert len(kept) > 5
        kept += [answer.content + str(answer.headers).encode() for answer in said]
        kept += [span.SerializeToString() for span in list(receiver.spans)]
        for secret in shown_once.values():
            # Of a key, only what is behind its id, which may hold more of the separator.
            hidden = secret.split("_", 2)[2] if secret.startswith("tt_") else secret
            assert not any(hidden[-30:].encode() in each for each in kept)

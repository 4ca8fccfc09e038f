"""Data sets through the front door."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import httpx
import pytest

from admin_core.race_report import RaceReport
from tests.admin_core.data.datasets import PAIRS, PROSE
from tests.admin_core.huggingface import GPT2
from tests.app.test_cli import trimtab
from tests.app.test_races import LONG, TINY, look, submit
from tests.service import SMALL, Service, until

TEXT, TSV, JSONL = "text/plain", "text/tab-separated-values", "application/jsonl"

MISSING = "ds-" + "0" * 32


def post(service: Service, content: Any, media_type: str = TEXT, **query: Any) -> httpx.Response:
    headers = {"content-type": media_type} if media_type else {}
    return service.http.post("/v1/datasets", content=content, params=query, headers=headers)


def upload(service: Service, content: str, media_type: str = TEXT, **query: Any) -> dict[str, Any]:
    answer = post(service, content, media_type, **query)
    assert answer.status_code in (200, 201), answer.text
    made: dict[str, Any] = answer.json()
    return made


def on(made: dict[str, Any], body: dict[str, Any] = SMALL, **model: Any) -> dict[str, Any]:
    """`body`, with the data set for its data."""
    data = {"kind": "upload", "id": made["id"]}
    return body | {"data": data, "model": body["model"] | model}


def state(service: Service) -> tuple[Any, set[str]]:
    """The data sets that are listed, and the folders that there are."""
    listed = service.http.get("/v1/datasets", params={"limit": 200}).json()
    folder = service.home / "datasets"
    return listed, {file.name for file in folder.iterdir()} if folder.is_dir() else set()


class TestUpload:
    def test_answers_with_what_the_file_holds(self, service: Service) -> None:
        answer = post(service, PAIRS, TSV)
        made = answer.json()
        assert answer.status_code == 201
        assert answer.headers["Location"] == made["links"]["self"]
        facts = made["facts"]
        assert (facts["format"], facts["lines"], facts["held_out_lines"]) == ("tsv", 40, 4)
        assert facts["columns"] == ["source", "target"]
        assert facts["size_bytes"] == len(PAIRS.encode())
        assert service.http.get(made["links"]["self"]).json() == made

    def test_of_the_same_content_is_the_same_data_set(self, service: Service) -> None:
        first = upload(service, PROSE, tokenizer="bpe")
        again = post(service, (PROSE[:1_000].encode(), PROSE[1_000:].encode()), tokenizer="bpe")
        assert (again.status_code, again.json()) == (200, first)
        other = upload(service, PROSE, tokenizer="bpe", vocab_size=300)
        assert other["id"] != first["id"]

    def test_takes_json_lines_and_the_members_that_are_named(self, service: Service) -> None:
        rows = "".join(
            json.dumps({"en": f"ship {i}", "fr": f"navire {i}"}) + "\n" for i in range(9)
        )
        made = upload(service, rows, "application/x-ndjson", column=["en", "fr"])
        assert made["facts"]["columns"] == ["en", "fr"]

    def test_has_exactly_the_documented_members(self, service: Service) -> None:
        schemas = service.http.get("/openapi.json").json()["components"]["schemas"]
        made = upload(service, PROSE)
        assert made.keys() == schemas["DatasetView"]["properties"].keys()
        assert made["facts"].keys() == schemas["DatasetFacts"]["properties"].keys()

    @pytest.mark.parametrize(
        ("content", "media_type", "query", "status", "said"),
        [
            (b"fine\nca\xe9\n", TEXT, {}, 422, "line 2: is not UTF-8"),
            (b"", TEXT, {}, 422, "The file is empty"),
            (b"", JSONL, {}, 422, "The file is empty"),
            (b"\n\n", TEXT, {}, 422, "The file is empty"),
            (b"one\n", TEXT, {}, 422, "single line"),
            (b"a\tb\nc\td\te\n", TSV, {}, 422, "line 2: has 3 columns"),
            (b'{"text": "a"}\n{"text"\n', JSONL, {}, 422, "line 2: is not JSON"),
            (b'{"text": "a"}\n{"txt": "b"}\n', JSONL, {}, 422, "line 2: has no member text"),
            (b"a\n" + b"x" * 2**20 + b"x\n", TEXT, {}, 422, "line 2: is longer"),
            (b"a\nb\n", "image/png", {}, 415, "content-type: text/plain"),
            (b"a\nb\n", "", {}, 415, "content-type: text/plain"),
            (b"a\nb\n", TEXT, {"tokenizer": "words"}, 422, "tokenizer: "),
            (b"a\nb\n", TEXT, {"vocab_size": 300}, 422, "vocab_size: There are 256 bytes"),
            (b"a\nb\n", TEXT, {"tokenizer": "bpe", "vocab_size": 70_000}, 422, "vocab_size: "),
            (b"a\nb\n", TEXT, {"vocab_size": "many"}, 422, "vocab_size: "),
            (b"a\nb\n", TEXT, {"column": "x"}, 422, "column: Only JSON lines"),
            (b"a\nb\n", JSONL, {"column": ["a", "a"]}, 422, "column: Name two different"),
            (b"a\nb\n", JSONL, {"column": ["a", "b", "c"]}, 422, "column: "),
            (b"a\nb\n", JSONL, {"column": "../a"}, 422, "column.0: "),
        ],
    )
    def test_that_is_refused_says_why_and_leaves_nothing_behind(
        self,
        service: Service,
        content: bytes,
        media_type: str,
        query: dict[str, Any],
        status: int,
        said: str,
    ) -> None:
        before = state(service)
        answer = post(service, content, media_type, **query)
        assert answer.status_code == status
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert said in problem["detail"]
        if said.startswith("line "):
            assert problem["line"] == 2
        assert state(service) == before

    def test_by_a_page_of_another_site_is_refused(self, service: Service) -> None:
        headers = {"content-type": TEXT, "origin": "http://elsewhere.example"}
        answer = service.http.post("/v1/datasets", content="a\nb\n", headers=headers)
        assert answer.status_code == 403
        own = headers | {"origin": service.url}
        assert service.http.post("/v1/datasets", content=PROSE, headers=own).is_success

    def test_that_breaks_off_leaves_nothing_behind(self, service: Service) -> None:
        before = state(service)
        host, port = service.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST /v1/datasets HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\n"
            connection.sendall(f"{head}Content-Length: 1000\r\n\r\nhalf a line".encode())
            until(lambda: state(service) != before)
        until(lambda: state(service) == before)
        log = (service.home / "logs/serve.log").read_text().splitlines()
        failed = [entry for entry in map(json.loads, log) if entry["event"] == "request failed"]
        assert "/v1/datasets" not in [entry["path"] for entry in failed]


class TestADataSet:
    def test_is_listed_newest_first_in_pages(self, service: Service) -> None:
        made = [upload(service, f"{PROSE}page {n}\n")["id"] for n in range(3)]
        found: list[str] = []
        query: dict[str, Any] = {"limit": 2}
        while len(found) < 3:
            page = service.http.get("/v1/datasets", params=query).json()
            found += [each["id"] for each in page["datasets"]]
            query["cursor"] = page["next_cursor"]
        assert found[:3] == made[::-1]

    def test_is_deleted_with_its_files(self, service: Service) -> None:
        made = upload(service, PROSE + "soon gone\n")
        path = made["links"]["self"]
        assert service.http.delete(path).status_code == 204
        assert service.http.get(path).status_code == 404
        assert service.http.delete(path).status_code == 404
        assert made["id"] not in state(service)[1]
        answer = service.http.post("/v1/diagnoses", json=on(made))
        assert answer.json()["errors"][0]["field"] == "data.id"

    def test_is_kept_while_a_race_reads_it(self, service: Service) -> None:
        made = upload(service, PROSE + "in use\n")
        job = submit(service, on(made, LONG))
        refused = service.http.delete(made["links"]["self"])
        assert refused.status_code == 409
        assert refused.json()["links"] == {"race": job["links"]["self"]}
        service.http.delete(job["links"]["self"])
        until(lambda: look(service, job)["state"] == "cancelled")
        assert service.http.delete(made["links"]["self"]).status_code == 204

    @pytest.mark.parametrize("dataset_id", [MISSING, "x", "%00", "..%2f..%2fetc"])
    def test_that_is_not_there_is_not_found(self, service: Service, dataset_id: str) -> None:
        for method in ("GET", "DELETE"):
            answer = service.http.request(method, f"/v1/datasets/{dataset_id}")
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/problem+json"


class TestASpecThatDoesNotFit:
    @pytest.mark.parametrize(
        ("content", "media_type", "body", "field"),
        [
            (PROSE, TEXT, SMALL, "model.vocab_size"),
            (PAIRS, TSV, SMALL, "model.architecture"),
            (
                PROSE,
                TEXT,
                {"model": {"vocab_size": 300}, "training": {"sequence_length": 9_999}},
                "training.sequence_length",
            ),
        ],
    )
    def test_is_refused_and_no_job_is_made(
        self, service: Service, content: str, media_type: str, body: Any, field: str
    ) -> None:
        made = upload(service, content, media_type, tokenizer="bpe", vocab_size=300)
        model = {"vocab_size": 300} if field == "model.architecture" else {}
        asked = on(made, SMALL, **(body["model"] | model)) | {
            "training": SMALL["training"] | body["training"]
        }
        before = service.http.get("/v1/jobs", params={"limit": 1}).json()
        for path in ("/v1/diagnoses", "/v1/gate"):
            answer = service.http.post(path, json=asked)
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["field"] == field
        assert service.http.get("/v1/jobs", params={"limit": 1}).json() == before

    def test_of_a_race_names_the_arm(self, service: Service) -> None:
        made = upload(service, PROSE)
        long = {"name": "long", "patch": {"training": {"sequence_length": 9_999}}}
        answer = service.http.post("/v1/races", json=on(made, TINY) | {"arms": ["admin", long]})
        assert answer.status_code == 422
        error = answer.json()["errors"][0]
        assert error["field"] == "arms.1.patch.training.sequence_length"

    def test_cannot_name_a_path_or_an_address(self, service: Service) -> None:
        for data in (
            {"kind": "upload", "id": "../../etc/passwd"},
            {"kind": "hub", "name": "/etc/passwd"},
            {"kind": "hub", "name": "http://127.0.0.1/x"},
        ):
            answer = service.http.post("/v1/diagnoses", json=SMALL | {"data": data})
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["field"] in ("data.id", "data.name")

    def test_may_not_ask_the_hub_unless_the_operator_allows_it(self, service: Service) -> None:
        data = {"kind": "hub", "name": "harbour/log"}
        answer = service.http.post("/v1/diagnoses", json=SMALL | {"data": data})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "data.kind"
        assert "TRIMTAB_ALLOW_HUB" in answer.json()["detail"]


class TestFromUploadToReport:
    def test_a_race_runs_on_parallel_text(self, service: Service) -> None:
        made = upload(service, PAIRS, TSV)
        stacks = {"architecture": "encoder_decoder", "encoder_layers": 1, "decoder_layers": 1}
        body = on(made, TINY) | {"model": {"d_model": 16, "num_heads": 2} | stacks}
        body["training"] = TINY["training"] | {"sequence_length": 8}
        job = submit(service, body, wait=60)
        assert job["state"] == "succeeded", job
        report = RaceReport.model_validate(job["report"])
        assert report.environment.data_sha256 == made["facts"]["sha256"]
        assert {len(seed.losses) for arm in report.arms for seed in arm.seeds} == {12}

    def test_a_model_is_diagnosed_on_text_with_a_trained_tokenizer(self, service: Service) -> None:
        made = upload(service, PROSE, tokenizer="bpe", vocab_size=300)
        job = service.diagnose(on(made, vocab_size=300))
        assert job["state"] == "succeeded", job
        assert job["report"]["environment"]["data_sha256"] == made["facts"]["sha256"]

    def test_any_architecture_that_reads_text_reads_it(self, service: Service) -> None:
        made = upload(service, PROSE)
        model = {"kind": "huggingface", "config": GPT2}
        body = on(made) | {"model": model, "training": {"batch_size": 2, "sequence_length": 8}}
        job = service.diagnose(body)
        assert job["state"] == "succeeded", job
        assert job["report"]["environment"]["data_sha256"] == made["facts"]["sha256"]
        narrow = {"model": model | {"config": GPT2 | {"vocab_size": 200}}}
        refused = service.http.post("/v1/diagnoses", json=body | narrow)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == "model.config.vocab_size"
        arms = [{"name": "narrow", "patch": narrow}, "admin"]
        race = {name: body[name] for name in ("model", "data")} | {"arms": arms}
        refused = service.http.post("/v1/races", json=race)
        assert refused.status_code == 422
        field = refused.json()["errors"][0]["field"]
        assert field == "arms.0.patch.model.config.vocab_size"

    def test_a_sequence_that_only_the_counted_tokens_show_to_be_too_long_fails_the_job(
        self, service: Service
    ) -> None:
        made = upload(service, PROSE, tokenizer="bpe", vocab_size=300)
        length = made["facts"]["training_tokens"]
        body = on(made, vocab_size=300) | {"training": {"batch_size": 1, "sequence_length": length}}
        job = service.diagnose(body | {"analyses": ["omega"]})
        assert job["state"] == "failed"
        assert job["problem"]["errors"][0]["field"] == "training.sequence_length"


class TestTheSameQuestionOfTheSameDataSet:
    def test_is_answered_once_however_often_the_file_is_uploaded(self, service: Service) -> None:
        text = PROSE + "Whoever asks again is answered at once.\n"
        first = ask(service, on(upload(service, text)))
        again = ask(service, on(upload(service, text)))
        assert again["links"]["reused"] == first["links"]["self"]
        other = ask(service, on(upload(service, text + "Another line.\n")))
        assert other["id"] != first["id"]

    def test_is_refused_once_the_data_set_is_deleted_though_a_job_knows_the_answer(
        self, service: Service
    ) -> None:
        text = PROSE + "What is deleted is asked for in vain.\n"
        made = upload(service, text)
        first = ask(service, on(made))
        assert service.http.delete(made["links"]["self"]).status_code == 204
        refused = service.http.post("/v1/diagnoses", json=on(made))
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == "data.id"
        upload(service, text)
        assert ask(service, on(made))["links"]["reused"] == first["links"]["self"]


def ask(service: Service, body: dict[str, Any]) -> dict[str, Any]:
    """The job that answers, finished; one that is there already will do."""
    answer = service.http.post("/v1/diagnoses", params={"wait": 60}, json=body)
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded"), answer.text
    job: dict[str, Any] = answer.json()
    return job


def test_a_service_takes_no_more_than_its_limit_and_reads_the_folder_of_the_hub(
    serve: Callable[..., Service], tmp_path: Path
) -> None:
    # One service for both, as it takes seconds to start.
    file = tmp_path / "harbour/log/data/train.parquet"
    file.parent.mkdir(parents=True)
    datasets.Dataset.from_dict({"text": PROSE.splitlines()}).to_parquet(file)
    service = serve(TRIMTAB_MAX_DATASET_BYTES="2000", TRIMTAB_HUB_FOLDER=str(tmp_path))
    service.wait_until_ready()

    text = b"a line of text\n" * 400
    in_chunks = (text[place : place + 100] for place in range(0, len(text), 100))
    for content in (text, in_chunks):
        answer = post(service, content)
        assert answer.status_code == 413
        assert answer.json()["limit"] == 2_000
        assert "TRIMTAB_MAX_DATASET_BYTES" in answer.json()["detail"]
        assert state(service) == ({"datasets": [], "next_cursor": None}, set())

    data = {"kind": "hub", "name": "harbour/log", "tokenizer": {"name": "bpe"}}
    body = SMALL | {"data": data, "model": SMALL["model"] | {"vocab_size": 8_192}}
    job = service.diagnose(body)
    assert job["state"] == "succeeded", job
    (folder,) = (service.home / "datasets").glob("hub-*/content")
    assert 1_000 < folder.stat().st_size <= 2_000
    job = service.diagnose(body | {"data": data | {"split": "test"}})
    assert job["problem"]["errors"][0]["field"] == "data.split"
    service.stop()


class TestTheCommandLine:
    def test_uploads_lists_and_deletes(self, service: Service, home: Path) -> None:
        file = home / "pairs.tsv"
        file.write_text(PAIRS + "from the\tcommand line\n")
        run = trimtab("datasets", "upload", file, "--url", service.url, home=home)
        assert run.returncode == 0, run.stderr
        dataset_id = run.stdout.strip()
        listed = trimtab("datasets", "list", "--url", service.url, home=home)
        lines = [line for line in listed.stdout.splitlines() if dataset_id in line]
        assert len(lines) == 1
        assert "41 lines  source+target  bytes 256" in lines[0]
        for expected in (0, 2):
            run = trimtab("datasets", "delete", dataset_id, "--url", service.url, home=home)
            assert run.returncode == expected
        assert "no data set with this id" in run.stderr

    def test_says_what_is_wrong_with_a_file(self, service: Service, home: Path) -> None:
        (home / "bad.tsv").write_text("a\tb\nc\n")
        for name, said in (
            ("bad.tsv", "line 2: has 1 column"),
            ("nowhere.txt", "cannot be read"),
            ("picture.png", ".txt, .tsv, .jsonl"),
        ):
            run = trimtab("datasets", "upload", home / name, "--url", service.url, home=home)
            assert run.returncode == 2
            assert said in run.stderr

    def test_says_that_nobody_answers(self, home: Path) -> None:
        run = trimtab("datasets", "list", "--url", "http://127.0.0.1:9", home=home)
        assert run.returncode == 3
        assert "trimtab serve" in run.stderr

    def test_diagnoses_on_a_data_set_of_the_same_home(self, service: Service) -> None:
        made = upload(service, PROSE)
        spec = json.dumps(on(made) | {"analyses": ["omega"]})
        run = trimtab("diagnose", "-", "--json", home=service.home, stdin=spec)
        assert run.returncode == 0, run.stderr
        environment = json.loads(run.stdout)["environment"]
        assert environment["data_sha256"] == made["facts"]["sha256"]

    def test_refuses_a_data_set_that_is_not_there(self, home: Path) -> None:
        spec = json.dumps(on({"id": MISSING}))
        run = trimtab("diagnose", "-", home=home, stdin=spec)
        assert run.returncode == 2
        assert "data.id: " in run.stderr

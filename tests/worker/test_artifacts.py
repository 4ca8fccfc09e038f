"""Files of jobs in a folder, and elsewhere, where two machines share them."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from admin_core.spec import DiagnosisSpec
from tests.service import SMALL
from worker import jobs
from worker.artifacts import Artifacts
from worker.settings import Settings
from worker.store import Store


@pytest.fixture(params=["memory", "s3"])
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A place that is no folder. S3 is a server on loopback, where its packages are installed."""
    if request.param == "memory":
        yield f"memory://{uuid.uuid4()}/artifacts"
        return
    pytest.importorskip("s3fs", reason="pip install '.[s3]'")
    server = pytest.importorskip("moto.server", reason="pip install 'moto[s3,server]'")
    started = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    started.start()
    host, port = started.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anybody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    # The server's buckets outlive it in this process.
    bucket = f"bucket-{uuid.uuid4()}"
    s3fs.S3FileSystem().mkdir(bucket)
    yield f"s3://{bucket}/trimtab"
    started.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def machine(home: Path, url: str | None = None) -> Artifacts:
    return Artifacts(Settings(home=home, artifacts_url=url))


def job(store: Store) -> str:
    return jobs.submit(store, DiagnosisSpec.model_validate(SMALL))[0]


def test_a_folder_is_where_they_are_unless_said_otherwise(tmp_path: Path) -> None:
    artifacts = machine(tmp_path)
    assert artifacts.are_here
    assert artifacts.bring("j") == tmp_path / "artifacts" / "j"


def test_a_folder_may_be_another(tmp_path: Path) -> None:
    artifacts = machine(tmp_path, str(tmp_path / "shared"))
    assert artifacts.are_here
    assert artifacts.bring("j") == tmp_path / "shared" / "j"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_what_one_machine_keeps_another_goes_on_with(tmp_path: Path, elsewhere: str) -> None:
    one, other = machine(tmp_path / "one", elsewhere), machine(tmp_path / "other", elsewhere)
    state = one.bring("j") / "run.safetensors"
    assert not state.exists()
    for content in (b"first", b"second"):
        state.write_bytes(content)
        one.keep("j")
        assert (other.bring("j") / "run.safetensors").read_bytes() == content
    assert not os.listdir(other.bring("another job"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_those_of_finished_jobs_go_wherever_they_are(
    tmp_path: Path, elsewhere: str, store: Store
) -> None:
    worker, dispatcher = machine(tmp_path / "one", elsewhere), machine(tmp_path / "two", elsewhere)
    unfinished, cancelled = job(store), job(store)
    for job_id in (unfinished, cancelled, "unknown"):
        (worker.bring(job_id) / "run.safetensors").write_bytes(b"state")
        worker.keep(job_id)
    jobs.cancel(store, cancelled)
    dispatcher.remove_those_of_finished(store)
    machine_three = machine(tmp_path / "three", elsewhere)
    assert os.listdir(machine_three.bring(unfinished)) == ["run.safetensors"]
    assert os.listdir(machine_three.bring(cancelled)) == []
    assert os.listdir(machine_three.bring("unknown")) == []


def test_work_begins_again_where_what_was_kept_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"memory://{uuid.uuid4()}/artifacts"
    one, other = machine(tmp_path / "one", url), machine(tmp_path / "other", url)
    (one.bring("j") / "run.safetensors").write_bytes(b"state")
    one.keep("j")

    def breaks_off(self: MemoryFileSystem, there: str, here: str, **_: object) -> None:
        Path(here).write_bytes(b"st")
        raise ConnectionResetError("the connection broke off")

    monkeypatch.setattr(MemoryFileSystem, "get_file", breaks_off)
    assert not (other.bring("j") / "run.safetensors").exists()
    # What is here already is still there.
    assert (one.bring("j") / "run.safetensors").read_bytes() == b"state"

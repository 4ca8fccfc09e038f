"""Three floors, and nothing imports upwards."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from admin_core import forward

SERVICE_LIBRARIES = {"fastapi", "starlette", "uvicorn", "celery", "kombu", "redis", "sqlalchemy"}


def loaded_by(statement: str, libraries: set[str]) -> set[str]:
    program = f"{statement}; import sys; print(*{libraries!r} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def test_the_core_loads_no_web_queue_or_database_library() -> None:
    assert loaded_by("import admin_core.diagnosis", {*SERVICE_LIBRARIES, "app", "worker"}) == set()


def test_the_words_of_the_core_load_no_torch() -> None:
    statement = (
        "from admin_core import comparison, config_facts, errors, progress, report, size, spec"
    )
    assert loaded_by(statement, {"torch", "transformers"}) == set()


def test_what_the_face_asks_of_a_data_set_loads_no_torch_and_no_reader_of_files() -> None:
    statement = "from admin_core.data import dataset_facts, dataset_fit, hub, records"
    readers = {"torch", "datasets", "pyarrow", "tokenizers", "huggingface_hub"}
    assert loaded_by(f"{statement}; import app.main", readers) == set()


def test_drawing_a_report_loads_no_torch() -> None:
    statement = "import admin_core.report_files.html, admin_core.report_files.of_report"
    assert loaded_by(statement, {"torch"}) == set()


@pytest.mark.parametrize(
    "statement",
    [
        "import app.cli, app.main, app.serve, app.client, app.push",
        "import worker.jobs, worker.settings, worker.store, worker.queue, worker.dispatcher",
        "import worker.tasks",
    ],
)
def test_neither_the_face_nor_the_records_load_torch(statement: str) -> None:
    assert loaded_by(statement, {"torch", "transformers", "vl_convert"}) == set()


def test_a_config_is_judged_without_its_library() -> None:
    statement = (
        "from admin_core.config_facts import known_architectures as known; assert 'bert' in known()"
    )
    assert loaded_by(statement, {"torch", "transformers"}) == set()


def test_the_built_in_transformer_needs_no_other_library_of_models() -> None:
    assert loaded_by("import admin_core.diagnosis", {"transformers"}) == set()


def test_the_worker_does_not_know_the_face() -> None:
    assert loaded_by("import worker.tasks, worker.dispatcher, worker.__main__", {"app"}) == set()


def test_the_command_line_starts_quickly() -> None:
    start = time.perf_counter()
    assert loaded_by("import app, app.cli", {"torch", "celery", "fastapi"}) == set()
    # Well under a second where nothing else runs.
    assert time.perf_counter() - start < 2


def test_every_file_that_a_watched_models_calls_go_through_is_known_to_hand_them_on() -> None:
    # Or else a model that fails while it is watched would be blamed on our code.
    watching = {
        path.name
        for path in Path(forward.__file__).parent.rglob("*.py")
        if "def __torch_function__" in path.read_text()
    }
    assert watching <= set(forward._HANDS_ON)

"""For one version, old and new processes work side by side: the new tables bear old statements, and
old workers pass over what they do not know."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from admin_core.spec import DiagnosisSpec
from tests.service import SMALL, Service
from worker import jobs, migrations
from worker.celery import SHORT_QUEUE, create_celery
from worker.jobs import JobName
from worker.queue import Queue
from worker.settings import Settings
from worker.store import Store


def script() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return config


REVISIONS = [step.revision for step in ScriptDirectory.from_config(script()).walk_revisions()][::-1]


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def migrate(connection: sa.Connection, revision: str) -> sa.MetaData:
    """The tables as they are at `revision`."""
    config = script()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    tables = sa.MetaData()
    tables.reflect(connection)
    return tables


def some_row(table: sa.Table) -> dict[str, Any]:
    """A value in each column that wants one."""
    values = {str: "x", int: 1, float: 1.0, bool: False, object: {}}
    return {
        column.name: values[column.type.python_type]
        for column in table.columns
        if not column.nullable and column.server_default is None
    }


@pytest.mark.parametrize(("old", "new"), list(pairwise(REVISIONS)))
def test_tables_of_the_next_version_bear_the_statements_of_this_one(
    connection: sa.Connection, old: str, new: str
) -> None:
    before = migrate(connection, old)
    after = migrate(connection, new)
    for name, table in before.tables.items():
        if name == "alembic_version":
            continue
        # Nothing is gone or renamed, nor became another type.
        for column in table.columns:
            assert column.name in after.tables[name].columns, f"{name}.{column.name} is gone"
            kept = after.tables[name].columns[column.name]
            assert type(kept.type) is type(column.type), f"{name}.{column.name}"
        # What the old version writes and reads is taken and found.
        connection.execute(table.insert().values(**some_row(table)))
        assert len(connection.execute(sa.select(table)).all()) == 1


def test_a_process_that_starts_on_tables_of_a_later_version_works_on_them(store: Store) -> None:
    with store.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(sa.text("ALTER TABLE jobs ADD COLUMN of_the_future VARCHAR(8)"))
    store.migrate()
    job_id, _ = jobs.submit(store, DiagnosisSpec.model_validate(SMALL))
    assert jobs.claim(store, job_id, worker="old", lease_seconds=60) is not None


def test_a_message_is_the_name_of_a_job_and_its_id_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, broker_url="memory://upgrade")
    queue = Queue(settings)
    with create_celery(settings).connection_for_read() as broker:
        broker.SimpleQueue(SHORT_QUEUE).clear()  # other tests' memory is the same
        assert queue.enqueue(JobName.DIAGNOSIS, "an id")
        message = broker.SimpleQueue(SHORT_QUEUE).get(timeout=5)
    queue.close()
    arguments, named, _ = message.payload
    assert message.headers["task"] == "diagnosis"
    assert (arguments, named) == ([], {"job_id": "an id"})


def test_a_worker_passes_over_messages_of_a_later_version(service: Service) -> None:
    embedded = f"redis+socket://{service.home / 'broker' / 'broker.sock'}"
    broker = service.settings.get("TRIMTAB_BROKER_URL", embedded)
    sender = create_celery(Settings(home=service.home, broker_url=broker))
    sender.send_task("of-the-future", kwargs={"job_id": "x", "more": 1}, queue=SHORT_QUEUE)
    sender.send_task(JobName.DIAGNOSIS, kwargs={"job_id": "unknown"}, queue=SHORT_QUEUE)
    sender.close()
    assert service.diagnose(SMALL)["state"] == "succeeded"

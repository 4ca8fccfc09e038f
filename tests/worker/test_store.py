import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import inspect, text

from worker import jobs, migrations
from worker.store import Store, metadata


class TestMigrate:
    def test_builds_the_tables_that_the_code_declares(self, store: Store) -> None:
        with store.reading() as connection:
            built = inspect(connection)
            for table in metadata.sorted_tables:
                columns = {c["name"]: c["nullable"] for c in built.get_columns(table.name)}
                assert columns == {c.name: c.nullable for c in table.columns}
                indexes = {i["name"] for i in built.get_indexes(table.name)}
                assert {index.name for index in table.indexes} <= indexes

    def test_processes_that_start_together_take_turns(self, database_url: str) -> None:
        with multiprocessing.get_context("spawn").Pool(3) as pool:
            assert pool.map(_migrate, [database_url] * 3) == ["0006"] * 3

    def test_keeps_the_jobs_and_attempts_that_are_there(self, database_url: str) -> None:
        store = Store(database_url)
        _step(store, command.upgrade, "0001")
        with store.writing() as connection:
            connection.execute(
                text(
                    "INSERT INTO jobs (id, kind, state, spec, spec_sha256, share, attempt, "
                    "cancel_requested, drain_requested, created_at) "
                    "VALUES ('j', 'diagnosis', 'queued', '{}', '', 0, 1, false, false, 0)"
                )
            )
            connection.execute(
                text(
                    "INSERT INTO attempts (job_id, number, worker, started_at) "
                    "VALUES ('j', 1, 'w', 0)"
                )
            )
        for _ in range(2):
            store.migrate()
            job = jobs.get(store, "j")
            assert job is not None
            assert [attempt.worker for attempt in job.attempts] == ["w"]
            _step(store, command.downgrade, "0001")
        store.close()


def _step(store: Store, step: Callable[[Config, str], None], revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with store.writing() as connection:
        config.attributes["connection"] = connection
        step(config, revision)


def _migrate(database_url: str) -> str:
    store = Store(database_url)
    store.migrate()
    with store.reading() as connection:
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    store.close()
    return str(version)


def test_no_update_is_lost_between_processes_on_sqlite(tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'trimtab.db'}"
    store = Store(database_url)
    with store.writing() as connection:
        connection.execute(text("CREATE TABLE counter (n INTEGER)"))
        connection.execute(text("INSERT INTO counter VALUES (0)"))
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(_count, [database_url] * 3)
    with store.reading() as connection:
        assert connection.execute(text("SELECT n FROM counter")).scalar() == 3 * 50
    store.close()


def _count(database_url: str) -> None:
    store = Store(database_url)
    for _ in range(50):
        with store.writing() as connection:
            n = connection.execute(text("SELECT n FROM counter")).scalar_one()
            connection.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})
    store.close()


class TestAlone:
    def test_nobody_else_is_while_one_is(self, store: Store, database_url: str) -> None:
        other = Store(database_url)
        with store.alone("dispatcher") as first, other.alone("dispatcher") as second:
            assert (first, second) == (True, False)
        with other.alone("dispatcher") as now:
            assert now
        other.close()

    def test_one_name_does_not_stand_in_the_way_of_another(self, store: Store) -> None:
        with store.alone("dispatcher") as one, store.alone("retention") as other:
            assert one
            assert other

    def test_an_error_lets_the_next_one_in(self, store: Store, database_url: str) -> None:
        with pytest.raises(ZeroDivisionError), store.alone("dispatcher"):
            raise ZeroDivisionError
        other = Store(database_url)
        with other.alone("dispatcher") as now:
            assert now
        other.close()

import multiprocessing
from pathlib import Path

from sqlalchemy import inspect, text

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

    def test_processes_that_start_together_take_turns(self, tmp_path: Path) -> None:
        with multiprocessing.get_context("spawn").Pool(3) as pool:
            assert pool.map(_migrate, [str(tmp_path)] * 3) == ["0002"] * 3


def _migrate(folder: str) -> str:
    store = Store(f"sqlite:///{folder}/trimtab.db")
    store.migrate()
    with store.reading() as connection:
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    store.close()
    return str(version)


def test_no_update_is_lost_between_processes(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'trimtab.db'}")
    with store.writing() as connection:
        connection.execute(text("CREATE TABLE counter (n INTEGER)"))
        connection.execute(text("INSERT INTO counter VALUES (0)"))
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(_count, [str(tmp_path)] * 3)
    with store.reading() as connection:
        assert connection.execute(text("SELECT n FROM counter")).scalar() == 3 * 50
    store.close()


def _count(folder: str) -> None:
    store = Store(f"sqlite:///{folder}/trimtab.db")
    for _ in range(50):
        with store.writing() as connection:
            n = connection.execute(text("SELECT n FROM counter")).scalar_one()
            connection.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})
    store.close()

"""The database: tables, connections, migrations. It is the truth; the queue is only a hint.

SQLite needs three things said before several processes may write to it: a write-ahead log, so
that readers and the writer do not block each other; a busy timeout; and BEGIN IMMEDIATE before
a transaction that will write, as a lock that is upgraded later fails at once or loses updates.
"""

import fcntl
import json
import threading
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("parent_id", String(36), ForeignKey("jobs.id", ondelete="CASCADE")),
    Column("state", String(16), nullable=False),
    Column("outcome", String(16)),
    Column("spec", JSON, nullable=False),
    Column("spec_sha256", String(64), nullable=False),
    Column("report", JSON(none_as_null=True)),
    Column("problem", JSON(none_as_null=True)),
    Column("stage", String(64)),
    Column("share", Float, nullable=False, default=0.0),
    Column("device_kind", String(8), nullable=False, default="cpu"),
    Column("attempt", Integer, nullable=False, default=0),
    Column("owner", String(255)),
    Column("lease_until", Float),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("drain_requested", Boolean, nullable=False, default=False),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("published_at", Float),
    Column("idempotency_key", String(255), unique=True),
    Column("key_id", String(16), nullable=False, default="", server_default=""),
    Column("request_id", String(64)),
    Column("traceparent", String(64)),
    Index("jobs_by_state", "state", "id"),
    Index("jobs_by_spec", "spec_sha256", "id"),
    Index("jobs_by_parent", "parent_id", "id"),
    Index("jobs_by_key", "key_id", "id"),
    # Every new job counts those before it, by this alone.
    Index("jobs_by_owner", "state", "key_id", "parent_id"),
    # Metrics are read from this alone: the rows themselves are long.
    Index("jobs_by_times", "kind", "state", "outcome", "created_at", "started_at", "finished_at"),
)
"""One row a job. Times are seconds since 1970, by the database's clock. `attempt` is the fencing
number: whoever writes for an attempt must still hold the current one. The runs of a race are jobs
whose parent is the race. `key_id` says whose the job is, and `idempotency_key` is a hash that holds
for this key alone; `request_id` and `traceparent` lead from the job back to the request for it."""

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", String(36), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("worker", String(255), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("ending", String(16)),
    Column("detail", String(500)),
)
"""What became of each attempt at a job."""

points = Table(
    "points",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("race_id", String(36), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("run_id", String(36), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("points", JSON, nullable=False),
    Index("points_by_race", "race_id", "id"),
    Index("points_by_run", "run_id", "id"),
    # An id never comes again, so that a reader can ask for what is later than the last it saw.
    sqlite_autoincrement=True,
)
"""Where a race's runs were step by step, some steps a row. Who writes one holds the race's row, so
that the rows of a race become visible in the order of their ids."""

datasets = Table(
    "datasets",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("facts", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("key_id", String(16), nullable=False, default="", server_default=""),
    Index("datasets_by_age", "created_at", "id"),
)
"""Data sets that were uploaded, and with which key; their content is in files."""

keys = Table(
    "keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
)
"""Keys, as their hashes. None is ever deleted, as jobs are marked with their ids."""

sessions = Table(
    "sessions",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("key_id", String(16), ForeignKey("keys.id", ondelete="CASCADE"), nullable=False),
    Column("expires_at", Float, nullable=False),
)
"""What a browser has in place of a key, as its hash."""

workers = Table(
    "workers",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("started_at", Float, nullable=False),
    Column("heartbeat_at", Float, nullable=False),
    Column("memory_bytes", BigInteger),
)
"""Workers that take jobs, and when each was last alive."""


class db_now(GenericFunction[float]):  # noqa: N801 - a function of SQL, named like one
    """Seconds since 1970 by the database's clock, so that machines need not agree on the time."""

    type = Float()
    inherit_cache = True


@compiles(db_now, "sqlite")
def _sqlite_now(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(db_now, "postgresql")
def _postgresql_now(*_: Any, **__: Any) -> str:
    return "extract(epoch from clock_timestamp())::float8"


_POSTGRESQL = {
    "connect_timeout": 5,
    # Without these a server that vanished without a word is waited for.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


CONNECTIONS = 15
"""That one process has at a time."""
KEPT_CONNECTIONS = 5
"""Of these, the ones that stay open."""


class Store:
    """Connections to the database, short transactions only."""

    def __init__(self, database_url: str) -> None:
        self._url = make_url(database_url)
        has_server = self._url.get_backend_name() == "postgresql"
        # A NaN that slips into a report must fail here, not in its reader's JSON parser.
        self._engine = create_engine(
            self._url,
            json_serializer=partial(json.dumps, allow_nan=False),
            # A connection that a restart of the server has cut is replaced unseen.
            pool_pre_ping=has_server,
            pool_size=KEPT_CONNECTIONS,
            max_overflow=CONNECTIONS - KEPT_CONNECTIONS,
            connect_args=_POSTGRESQL if has_server else {},
        )
        self._turn: AbstractContextManager[object] = nullcontext()
        if self._url.get_backend_name() == "sqlite":
            _prepare_sqlite(self._engine)
            # SQLite's own way to wait for its one writer is to sleep and look again, which forty
            # threads at once do for most of their time.
            self._turn = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write; committed at the end, undone by an exception."""
        with self._turn, self._engine.connect().execution_options(write=True) as connection:
            with connection.begin():
                yield connection

    def migrate(self) -> None:
        """Bring the tables up to date. Processes that start together take turns. Tables of a later
        version stay as they are: they bear what this one writes."""
        # As long to load as a fourth of SQLAlchemy, for once in the life of a process.
        from alembic import command
        from alembic.config import Config
        from alembic.runtime.migration import MigrationContext
        from alembic.script import ScriptDirectory

        if self._url.get_backend_name() == "sqlite" and self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(7412066)"))
            config.attributes["connection"] = connection
            here = MigrationContext.configure(connection).get_current_revision()
            known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
            if here is None or here in known:
                command.upgrade(config, "head")

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Whether nobody else does what `name` stands for, who then waits until the block ends."""
        if self._url.get_backend_name() == "sqlite":
            with Path(f"{self._url.database}.{name}.lock").open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield False
                else:
                    yield True
            return
        # Of the connection, so that it goes with it, and no transaction is open meanwhile.
        key = {"key": zlib.crc32(name.encode())}
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            held = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), key).scalar_one()
            try:
                yield held
            finally:
                if held:
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)

    def close(self) -> None:
        self._engine.dispose()


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connected(dbapi_connection: Any, _: Any) -> None:
        # Python's own transaction control begins too late: not before a SELECT.
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        for pragma in (
            "busy_timeout=15000",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

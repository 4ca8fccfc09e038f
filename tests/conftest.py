import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

from tests import postgresql
from tests.broker import Broker
from tests.postgresql import PostgreSQL
from tests.service import Service
from worker.openmp import wait_without_spinning
from worker.store import Store

wait_without_spinning()

# Shape and dtype annotations are checked on every call made under test: none of these
# packages is imported yet. (The command line option of jaxtyping's plugin takes one package only.)
install_import_hook(
    [f"admin_core.{package}" for package in ("analysis", "data", "models", "training")],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=("sqlite", "postgresql", "both"),
        help="what the tests of the store run on; both unless given, if PostgreSQL is installed",
    )
    parser.addoption(
        "--engine",
        choices=("local", "shared"),
        default="local",
        help="what services run on: SQLite and a broker of their own, or a PostgreSQL and a broker "
        "that somebody else runs",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_url" not in metafunc.fixturenames:
        return
    wanted = metafunc.config.getoption("--database")
    if wanted is None:
        wanted = "both" if postgresql.is_installed() else "sqlite"
    kinds = ["sqlite", "postgresql"] if wanted == "both" else [wanted]
    metafunc.parametrize("database_url", kinds, indirect=True)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    with tempfile.TemporaryDirectory(prefix="tt-") as folder:
        # Root makes a folder that the server's own user could not enter.
        Path(folder).chmod(0o755)
        server = PostgreSQL(Path(folder) / "postgresql")
        yield server
        server.stop()


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A broker that somebody else runs."""
    with tempfile.TemporaryDirectory(prefix="tt-") as folder:
        broker = Broker(Path(folder))
        yield broker
        broker.stop()


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Callable[[], dict[str, str]]:
    """Makes the settings that say what a new service runs on."""
    if request.config.getoption("--engine") == "local":
        return dict
    server: PostgreSQL = request.getfixturevalue("postgresql_server")
    broker: Broker = request.getfixturevalue("broker")
    numbers = itertools.count(1)
    return lambda: {
        "TRIMTAB_DATABASE_URL": server.new_database(),
        "TRIMTAB_BROKER_URL": broker.url(next(numbers) % 16),
    }


@pytest.fixture(scope="session")
def service(engine: Callable[[], dict[str, str]]) -> Iterator[Service]:
    """One service that all tests talk to which do not harm it."""
    # A short path, so that the broker's socket lies in it.
    with tempfile.TemporaryDirectory(prefix="tt-") as home:
        service = Service(Path(home), engine())
        service.wait_until_ready()
        yield service
        assert service.stop() == 0


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path of a folder that is there and empty."""
    with tempfile.TemporaryDirectory(prefix="tt-") as folder:
        yield Path(folder)


@pytest.fixture
def serve(home: Path, engine: Callable[[], dict[str, str]]) -> Iterator[Callable[..., Service]]:
    """Starts services in `home`, with settings; none outlives the test."""
    services: list[Service] = []
    shared = engine()

    def start(**settings: str) -> Service:
        services.append(Service(home, shared | settings))
        return services[-1]

    yield start
    for service in services:
        service.clean_up()


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'trimtab.db'}"
    server: PostgreSQL = request.getfixturevalue("postgresql_server")
    return server.new_database()


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A database without jobs."""
    store = Store(database_url)
    store.migrate()
    yield store
    store.close()

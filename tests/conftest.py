import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

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


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """One service that all tests talk to which do not harm it."""
    # A short path, so that the broker's socket lies in it.
    with tempfile.TemporaryDirectory(prefix="tt-") as home:
        service = Service(Path(home))
        service.wait_until_ready()
        yield service
        assert service.stop() == 0


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path of a folder that is there and empty."""
    with tempfile.TemporaryDirectory(prefix="tt-") as folder:
        yield Path(folder)


@pytest.fixture
def serve(home: Path) -> Iterator[Callable[..., Service]]:
    """Starts services in `home`, with settings; none outlives the test."""
    services: list[Service] = []

    def start(**settings: str) -> Service:
        services.append(Service(home, settings))
        return services[-1]

    yield start
    for service in services:
        service.clean_up()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty database."""
    store = Store(f"sqlite:///{tmp_path / 'trimtab.db'}")
    store.migrate()
    yield store
    store.close()

"""The API in this process, without a worker or a broker, for what needs neither."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from app.main import create_app
from worker import keys
from worker.keys import Scope
from worker.queue import Queue
from worker.settings import Settings
from worker.store import Store

BOTH = (Scope.SUBMIT, Scope.READ)


class Api:
    """An app with its database; nobody works on its jobs."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.settings = Settings(home=home, broker_url="memory://", **settings)
        self.store = Store(self.settings.database_url)
        self.store.migrate()
        self._queue = Queue(self.settings)
        self.app = create_app(self.settings, self.store, self._queue)

    def key(self, *scopes: Scope, name: str = "a key") -> str:
        return keys.create(self.store, name, scopes or BOTH)[1]

    def caller(self, key: str | None = None, address: str = "127.0.0.1") -> TestClient:
        """Somebody who shows this key."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return TestClient(
            self.app,
            base_url="http://127.0.0.1:8000",
            headers=headers,
            client=(address, 50_000),
            raise_server_exceptions=False,
        )

    def close(self) -> None:
        self._queue.close()
        self.store.close()


@contextmanager
def api(home: Path, **settings: Any) -> Iterator[Api]:
    here = Api(home, **settings)
    try:
        yield here
    finally:
        here.close()

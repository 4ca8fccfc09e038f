"""The API behind its real HTTP server, in a thread, for what happens on connections."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.serve import server_of
from tests.app.in_process import Api, api


class Listening:
    """An `Api` that listens."""

    def __init__(self, here: Api, port: int) -> None:
        self.api = here
        self.url = f"http://127.0.0.1:{port}"
        self._port = port

    def connect(self) -> socket.socket:
        """A connection on which anything can be sent."""
        return socket.create_connection(("127.0.0.1", self._port), timeout=20)


@contextmanager
def listening(home: Path, **settings: Any) -> Iterator[Listening]:
    with api(home, **settings) as here, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = server_of(here.app, here.settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield Listening(here, listener.getsockname()[1])
        finally:
            here.app.state.waiting.close()
            server.should_exit = True
            thread.join()

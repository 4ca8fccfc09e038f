"""A way to a real service that is not always there: a forwarder that fails as it is told."""

import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

CUT = b""
"""In place of an answer: the connection is closed without a word."""


def busy(status: int, retry_after: str) -> bytes:
    """An answer as a service gives it that is too busy."""
    body = b'{"type": "about:blank", "title": "Busy", "status": %d}' % status
    head = f"HTTP/1.1 {status} Busy\r\nRetry-After: {retry_after}\r\n"
    head += f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


class Flaky:
    """What became of the connections so far."""

    def __init__(self, url: str, failures: Sequence[bytes], cut_after: str | None) -> None:
        self.failures = list(failures)
        """What the next connections are answered, in place of the service's answer."""
        self.cut_after = cut_after
        """What of an answer is the last to come before its connection is cut, once."""
        self.requests: list[bytes] = []
        """The beginning of each."""
        self._there = (urlsplit(url).hostname, urlsplit(url).port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def close(self) -> None:
        # Closing alone does not wake who waits for a connection.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = connection.recv(65_536)
            self.requests.append(request)
            if self.failures:
                connection.sendall(self.failures.pop(0))
                return
            # One request a connection, so that each failure meets one.
            request = request.replace(b"Connection: keep-alive", b"Connection: close")
            with socket.create_connection(self._there) as service:
                service.sendall(request)
                pump = threading.Thread(target=_pump, args=(connection, service), daemon=True)
                pump.start()
                sent, answer = 0, b""
                while piece := service.recv(65_536):
                    answer += piece
                    last = self.cut_after and re.search(self.cut_after.encode(), answer)
                    if last:
                        self.cut_after = None
                        connection.sendall(answer[sent : last.end()])
                        break
                    connection.sendall(piece)
                    sent += len(piece)
                # Closing alone does not end what the pump waits for.
                connection.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, target: socket.socket) -> None:
    """The rest of a request, such as its body."""
    with suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)


@contextmanager
def flaky(url: str, *failures: bytes, cut_after: str | None = None) -> Iterator[Flaky]:
    """Forwards to the service at `url` once all failures have happened.

    Args:
        cut_after: a regular expression.
    """
    found = Flaky(url, failures, cut_after)
    thread = threading.Thread(target=found.serve, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.close()
        thread.join(5)

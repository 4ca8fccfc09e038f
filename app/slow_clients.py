"""Clients that are slow, or pretend to be: none keeps a connection for long without a request.

Uvicorn closes a connection that is idle between two requests, but waits for ever for the rest of a
request's head. Here the head has to be there in time; bodies are watched where they are read.
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 15.0
"""From a connection, or from the first byte of a further request on it, to the end of its head."""


class PunctualProtocol(H11Protocol):
    """HTTP/1.1 whose request heads come in time, or not at all."""

    _head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._expect_head()
        else:
            self._expect_nothing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        if self._head_due is None:
            self._head_due = self.loop.call_later(HEAD_SECONDS, self._close)

    def _expect_nothing(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _close(self) -> None:
        self._head_due = None
        transport: Any = self.transport
        if not transport.is_closing():
            transport.close()

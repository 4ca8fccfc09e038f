"""One line of the log for each request, and an id by which all lines of it are found.

The id is the caller's, from the header `X-Request-ID`, where that is a plain word, and a new one
otherwise. It goes back with the answer, is on every line that is logged meanwhile, and goes with a
job to the worker, whose lines have it too. Addresses are logged without their query, and no header
ever is.
"""

import re
import time
import uuid

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)

HEADER = b"x-request-id"
PLAIN_WORD = re.compile(rb"[A-Za-z0-9._:+/=-]{1,64}")
"""What an id may look like, so that it can forge neither a header nor a line of the log."""
OFTEN = ("/healthz", "/readyz", "/metrics")
"""Asked every few seconds by machines, and not worth a line while all is well."""


class RequestLog:
    """Middleware; stands before all others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["request_id"] = _id(scope)
        # Percent-encoded, so that it can forge no line.
        path = scope.get("raw_path", b"").decode("ascii", "backslashreplace")
        status = 500
        began = time.monotonic()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (HEADER, request_id.encode()),
                ]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                if scope["path"] not in OFTEN or status >= 400:
                    log.info(
                        "request",
                        method=scope["method"],
                        path=path,
                        status=status,
                        seconds=round(time.monotonic() - began, 4),
                        key_id=scope.get("key_id"),
                    )


def _id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == HEADER and PLAIN_WORD.fullmatch(value):
            return str(value.decode())
    return uuid.uuid4().hex

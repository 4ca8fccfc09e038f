"""How request bodies are read: as JSON that says so, of bounded size and depth."""

import asyncio
from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json

from app.problems import MALFORMED_JSON, NOT_JSON, TOO_LARGE, TOO_SLOW, ProblemError

READ_ON = 4
"""Limits up to which a body that is too large is read, and thrown away, before it is refused. A
client that is still sending when its connection closes may see a reset in place of the answer."""


MOST_VALUES = 100_000
"""In one body, of which each may break a rule, and be complained of; commas are what is counted."""
BODY_SECONDS = 30.0
"""For a whole body of JSON, which is small."""


def too_slow(seconds: float) -> ProblemError:
    """Of a body that did not come in time."""
    return ProblemError(
        TOO_SLOW.problem(f"The body should have come within {seconds:g} seconds."),
        {"Connection": "close"},
    )


class JsonRoute(APIRoute):
    """A route whose body is a `JsonRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return handle_json


class JsonRequest(Request):
    """A request whose body is refused before it takes more memory than the limit."""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            self._body = await self._bounded_body()
            # A browser sends other types across sites without asking; JSON it asks about first.
            if self._body and not _is_json(self.headers.get("content-type", "")):
                raise ProblemError(
                    NOT_JSON.problem(
                        "Send the body with the header content-type: application/json. With "
                        "curl: -H 'content-type: application/json', or --json in place of -d."
                    )
                )
        return self._body

    async def json(self) -> Any:
        # Unlike the standard library's, this parser is bounded in depth, whatever the Python.
        # NaN and infinity pass, so that the spec can name their field.
        try:
            body = await self.body()
            if body.count(b",") >= MOST_VALUES:
                raise ProblemError(
                    TOO_LARGE.problem(
                        f"The body has more than {MOST_VALUES:,} values. Send fewer.",
                        limit=MOST_VALUES,
                    )
                )
            return from_json(body)
        except ValueError as error:
            raise ProblemError(
                MALFORMED_JSON.problem(f"The body cannot be read as JSON: {error}.")
            ) from None

    async def _bounded_body(self) -> bytes:
        limit: int = self.app.state.settings.max_body_bytes
        body = bytearray()
        received = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in self.stream():
                    received += len(chunk)
                    if received <= limit:
                        body += chunk
                    elif received > READ_ON * limit:
                        break
        except TimeoutError:
            raise too_slow(BODY_SECONDS) from None
        if received > limit:
            raise ProblemError(
                TOO_LARGE.problem(
                    f"The body is larger than {limit:,} bytes. Send a smaller one, or raise "
                    "TRIMTAB_MAX_BODY_BYTES.",
                    limit=limit,
                ),
                # What else the client would send is not read.
                {"Connection": "close"},
            )
        return bytes(body)


def _is_json(content_type: str) -> bool:
    # What almost all send, and cheap to know.
    if content_type == "application/json":
        return True
    message = Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (
        subtype == "json" or subtype.endswith("+json")
    )

"""Where a client connects to, and with what: arguments first, then the environment."""

import os
from dataclasses import dataclass
from typing import Any

import httpx

from app.client.calls import LONG_POLL_SECONDS
from app.client.errors import UnreachableError
from app.client.flow import Answer, Request, Service

LOCAL_SERVICE = "http://127.0.0.1:8000"
URL_VARIABLE = "TRIMTAB_URL"
KEY_VARIABLE = "TRIMTAB_KEY"
RETRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    service: Service
    options: dict[str, Any]
    """For `httpx.Client` or `httpx.AsyncClient`."""


def connection(url: str | None, key: str | None, retry_seconds: float) -> Connection:
    """Of the service at `url`, or at TRIMTAB_URL, or on this machine.

    Args:
        key: or TRIMTAB_KEY; none is sent where there is neither.

    Raises:
        UnreachableError: the address is none.
    """
    url = (url or os.environ.get(URL_VARIABLE) or LOCAL_SERVICE).rstrip("/")
    key = key or os.environ.get(KEY_VARIABLE)
    try:
        parsed = httpx.URL(url)
        spoken = parsed.scheme in ("http", "https") and bool(parsed.host)
    except httpx.InvalidURL:
        spoken = False
    if not spoken:
        raise UnreachableError(f"{url} is no address of a service; one is {LOCAL_SERVICE}.")
    headers = {"user-agent": "trimtab"}
    if key is not None:
        headers["authorization"] = f"Bearer {key.strip()}"
    return Connection(
        service=Service(url=url, retry_seconds=retry_seconds),
        options={
            "base_url": url,
            "headers": headers,
            "timeout": httpx.Timeout(LONG_POLL_SECONDS + 15, connect=15),
        },
    )


def arguments(request: Request) -> dict[str, Any]:
    """As httpx takes a request."""
    return {
        "method": request.method,
        "url": request.path,
        "params": request.parameters,
        "headers": request.all_headers,
        "content": request.content,
    }


def answer_of(response: httpx.Response, body: bytes) -> Answer:
    """As flows take an answer."""
    return Answer(
        url=str(response.url), status=response.status_code, headers=response.headers, body=body
    )

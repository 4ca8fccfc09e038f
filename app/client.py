"""Talks to a running service."""

import time
from typing import Any

import httpx

from admin_core.spec import DiagnosisSpec

LONG_POLL_SECONDS = 30.0


class ServiceError(Exception):
    """The service cannot be reached, or is none; the message says what to do."""


def ask_gate(
    url: str, spec: DiagnosisSpec, *, fail_on: str, wait_seconds: float
) -> tuple[int, dict[str, Any]]:
    """Status and body of ``POST /v1/gate``, asked until the verdict is there or the time is up.

    Raises:
        ServiceError: nobody answers at `url`, or not as the service does.
    """
    deadline = time.monotonic() + wait_seconds
    body = spec.model_dump(mode="json", exclude_none=True)
    try:
        with httpx.Client(base_url=url, timeout=LONG_POLL_SECONDS + 10) as client:
            while True:
                left = max(0.0, deadline - time.monotonic())
                wait = min(left, LONG_POLL_SECONDS)
                query: dict[str, str | float] = {"fail_on": fail_on, "wait": wait}
                response = client.post("/v1/gate", params=query, json=body)
                if response.status_code != 503 or left == 0:
                    return response.status_code, answer_of(response)
                time.sleep(min(left, float(response.headers.get("Retry-After", "1"))))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceError(
            f"No answer from {url} ({error}). Start the service with trimtab serve, or name "
            "another with --url."
        ) from None


def answer_of(response: httpx.Response) -> dict[str, Any]:
    """The body as a JSON object; raises a `ServiceError` if it is none."""
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ServiceError(
            f"{response.url} answers with status {response.status_code}, but not as Trimtab does. "
            "Is this the address of a Trimtab service?"
        )
    return answer

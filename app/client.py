"""Talks to a running service."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from admin_core.report import Report
from admin_core.spec import DiagnosisSpec
from admin_core.spec.pushed import PushedSpec

LONG_POLL_SECONDS = 30.0

Parameters = Mapping[str, str | float | None]
"""Of a query or a body; what is None is left out."""


class ServiceError(Exception):
    """The service cannot be reached, or is none; the message says what to do."""


def ask_gate(
    url: str, spec: DiagnosisSpec, *, criteria: Parameters, fresh: bool, wait_seconds: float
) -> tuple[int, dict[str, Any]]:
    """Status and body of ``POST /v1/gate``, asked until the verdict is there or the time is up.

    Raises:
        ServiceError: nobody answers at `url`, or not as the service does.
    """
    patience = _Patience(wait_seconds)
    query = _given(criteria)
    body = spec.model_dump(mode="json", exclude_none=True)
    with _service(url) as http:
        asked: dict[str, str | float] = {"fresh": fresh, "wait": patience.turn()}
        response = http.post("/v1/gate", params=query | asked, json=body)
        answer = answer_of(response)
        while response.status_code == 503 and "links" in answer and patience.left():
            patience.rest(response)
            # The diagnosis that was begun, as asking anew might begin another.
            path = f"{answer['links']['diagnosis']}/gate"
            response = http.get(path, params=query | {"wait": patience.turn()})
            answer = answer_of(response)
        return response.status_code, answer


def ask_verification(
    url: str, body: Parameters, *, fresh: bool, wait_seconds: float
) -> tuple[int, dict[str, Any]]:
    """Status and body of ``POST /v1/prescriptions/verify``; its race once it is finished, or as it
    is when the time is up.

    Raises:
        ServiceError: nobody answers at `url`, or not as the service does.
    """
    patience = _Patience(wait_seconds)
    with _service(url) as http:
        asked = {"fresh": fresh, "wait": patience.turn()}
        response = http.post("/v1/prescriptions/verify", params=asked, json=_given(body))
        race = answer_of(response)
        while response.is_success and race["finished_at"] is None and patience.left():
            response = http.get(race["links"]["self"], params={"wait": patience.turn()})
            race = answer_of(response)
        return response.status_code, race


class _Patience:
    """How long the caller will wait, all told."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    def left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def turn(self) -> float:
        """Seconds that the service may keep one request."""
        return min(self.left(), LONG_POLL_SECONDS)

    def rest(self, response: httpx.Response) -> None:
        """Pause for as long as the answer asks for."""
        time.sleep(min(self.left(), float(response.headers.get("Retry-After", "1"))))


@contextmanager
def _service(url: str) -> Iterator[httpx.Client]:
    try:
        with httpx.Client(base_url=url, timeout=LONG_POLL_SECONDS + 10) as http:
            yield http
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _no_answer(url, error) from None


def push_report(url: str, spec: PushedSpec, report: Report) -> tuple[int, dict[str, Any]]:
    """Status and body of ``POST /v1/reports``.

    Raises:
        ServiceError: nobody answers at `url`, or not as the service does.
    """
    body = {"spec": spec.model_dump(mode="json"), "report": report.model_dump(mode="json")}
    try:
        with httpx.Client(base_url=url, timeout=LONG_POLL_SECONDS) as client:
            response = client.post("/v1/reports", json=body)
            return response.status_code, answer_of(response)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _no_answer(url, error) from None


def _no_answer(url: str, error: Exception) -> ServiceError:
    return ServiceError(
        f"No answer from {url} ({error}). Start the service with trimtab serve, or name another."
    )


def _given(parameters: Parameters) -> dict[str, str | float]:
    return {name: value for name, value in parameters.items() if value is not None}


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

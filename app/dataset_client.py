"""Data sets of a running service, from the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from app.client import ServiceError, answer_of

MEDIA_TYPES = {
    ".txt": "text/plain",
    ".tsv": "text/tab-separated-values",
    ".jsonl": "application/jsonl",
    ".ndjson": "application/jsonl",
}
"""By a file's suffix."""


def upload(
    url: str, path: Path, *, tokenizer: str, vocab_size: int | None, columns: list[str]
) -> tuple[int, dict[str, Any]]:
    """Status and body of the service's answer; the file is sent piece by piece.

    Raises:
        ServiceError: nobody answers at `url`, or not as the service does.
        OSError: the file cannot be read.
    """
    query: dict[str, str | int | list[str]] = {"tokenizer": tokenizer, "column": columns}
    if vocab_size is not None:
        query["vocab_size"] = vocab_size
    headers = {"content-type": MEDIA_TYPES[path.suffix.lower()]}
    with path.open("rb") as file, _service(url) as client:
        answer = client.post("/v1/datasets", params=query, headers=headers, content=file)
        return answer.status_code, answer_of(answer)


def each(url: str) -> Iterator[dict[str, Any]]:
    """All data sets of the service, newest first.

    Raises:
        ServiceError: nobody answers at `url`, or not as the service does.
    """
    cursor: str | None = None
    with _service(url) as client:
        while True:
            page = answer_of(
                client.get("/v1/datasets", params={"cursor": cursor} if cursor else {})
            )
            if "datasets" not in page:
                raise ServiceError(str(page.get("detail", page)))
            yield from page["datasets"]
            cursor = page["next_cursor"]
            if cursor is None:
                return


def delete(url: str, dataset_id: str) -> tuple[int, dict[str, Any]]:
    """Status and body of the service's answer.

    Raises:
        ServiceError: nobody answers at `url`, or not as the service does.
    """
    with _service(url) as client:
        answer = client.delete(f"/v1/datasets/{quote(dataset_id, safe='')}")
        return answer.status_code, {} if answer.status_code == 204 else answer_of(answer)


@contextmanager
def _service(url: str) -> Iterator[httpx.Client]:
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            yield client
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceError(
            f"No answer from {url} ({error}). Start the service with trimtab serve, or name "
            "another with --url."
        ) from None

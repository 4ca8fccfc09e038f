"""How a file is uploaded: as the body itself, piece by piece, of bounded size."""

import asyncio
import hashlib
import os
from email.message import Message
from http import HTTPStatus
from pathlib import Path

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from admin_core.data.records import RecordFormat
from app.body import READ_ON, too_slow
from app.problems import TOO_LARGE, UNKNOWN_FORMAT, ProblemError
from worker.problem import Kind

BROKEN_OFF = Kind("broken-off", HTTPStatus.BAD_REQUEST, "The upload broke off")

UPLOAD_SECONDS = 600.0
"""For a whole file."""

FORMATS = {
    "text/plain": RecordFormat.TEXT,
    "text/tab-separated-values": RecordFormat.TSV,
    "application/jsonl": RecordFormat.JSONL,
    "application/x-ndjson": RecordFormat.JSONL,
}
"""What each media type declares."""


def declared_format(request: Request) -> RecordFormat:
    """By the body's media type; raises a 415 problem for any other."""
    message = Message()
    message["content-type"] = request.headers.get("content-type", "")
    declared = FORMATS.get(message.get_content_type())
    # Without a header, a message counts as plain text.
    if declared is None or "content-type" not in request.headers:
        raise ProblemError(
            UNKNOWN_FORMAT.problem(
                "Declare what the file is with the header content-type: text/plain for lines of "
                "text, text/tab-separated-values for two columns, application/jsonl for JSON "
                "lines. With curl: -H 'content-type: text/plain' --data-binary @FILE."
            )
        )
    return declared


async def save_body(request: Request, path: Path, *, limit: int) -> str:
    """Write the body to a file; returns its SHA-256.

    Raises:
        ProblemError: it is larger than `limit`, counted as it comes, whatever its headers say; or
            its sender went away, or takes too long.
    """
    digest = hashlib.sha256()
    received = 0
    with path.open("wb") as file:
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                async for chunk in request.stream():
                    received += len(chunk)
                    if received <= limit:
                        digest.update(chunk)
                        await run_in_threadpool(file.write, chunk)
                    elif received > READ_ON * limit:
                        break
        except TimeoutError:
            raise too_slow(UPLOAD_SECONDS) from None
        except ClientDisconnect:
            raise ProblemError(BROKEN_OFF.problem("Send the file again.")) from None
        file.flush()
        await run_in_threadpool(os.fsync, file)
    if received > limit:
        raise ProblemError(
            TOO_LARGE.problem(
                f"The file is larger than {limit:,} bytes. Send a part of it, or raise "
                "TRIMTAB_MAX_DATASET_BYTES.",
                limit=limit,
            ),
            # What else the client would send is not read.
            {"Connection": "close"},
        )
    return digest.hexdigest()

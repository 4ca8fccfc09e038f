"""Scripts, style sheet and icons: files of this package."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.pages.page import STATIC
from app.problems import NOT_FOUND, ProblemError

router = APIRouter(include_in_schema=False)

MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml; charset=utf-8",
}

FILES = {file.name: file.read_bytes() for file in STATIC.iterdir() if file.is_file()}
"""Few and small; a name that is not here leads nowhere."""


@router.get("/assets/{name}")
def get_asset(name: Annotated[str, Path(max_length=100)]) -> Response:
    """One file. Its address holds its digest, so that it never changes."""
    if name not in FILES:
        raise ProblemError(NOT_FOUND.problem("There is no such file."))
    return Response(
        FILES[name],
        media_type=MEDIA_TYPES[name.rpartition(".")[2]],
        headers={
            "Cache-Control": "public, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        },
    )


@router.get("/favicon.ico")
def get_favicon() -> Response:
    """Where browsers look without being told."""
    return get_asset("mark.svg")

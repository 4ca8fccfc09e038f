"""What a posted form holds: plain fields, read within the limits of any request body."""

from urllib.parse import parse_qsl

from fastapi import Request

from app.problems import ProblemError
from worker.problem import INVALID_REQUEST, FieldError

MOST_FIELDS = 500


async def read_form(request: Request) -> dict[str, list[str]]:
    """The fields by name, each with its values.

    Raises:
        ProblemError: the body is too large, or no form.
    """
    limit: int = request.app.state.settings.max_body_bytes
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        # Quoted as a form quotes, what is sent is up to three times as long.
        if len(body) > 3 * limit:
            raise ProblemError(INVALID_REQUEST.problem(f"The form is larger than {limit:,} bytes."))
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise ProblemError(INVALID_REQUEST.problem("The form cannot be read.")) from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def one(form: dict[str, list[str]], name: str) -> str:
    """The first value of a field, without white space around it; empty where there is none."""
    return form.get(name, [""])[0].strip()


def whole(form: dict[str, list[str]], name: str, *, lowest: int, highest: int) -> int:
    """A field that holds a whole number.

    Raises:
        ProblemError: it does not, or one out of bounds.
    """
    text = one(form, name)
    if text.isascii() and text.isdigit() and len(text) < 20 and lowest <= int(text) <= highest:
        return int(text)
    message = f"Give a whole number from {lowest:,} to {highest:,}."
    raise ProblemError(
        INVALID_REQUEST.problem(
            f"{name}: {message}", errors=[FieldError(field=name, message=message, type="number")]
        )
    )

"""What commands read: requests, files, settings, the database."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from app.commands.ending import Exit, database_errors, leave

if TYPE_CHECKING:
    from admin_core.spec.parts import Part
    from worker.settings import Settings
    from worker.store import Store

Spec = TypeVar("Spec", bound="Part")

DIAGNOSIS = (
    '{"model": {"kind": "transformer", ...}}, with training, data and seed beside model if wanted.'
)
RACE = (
    '{"model": {"kind": "transformer", ...}, "arms": ["post_ln", "admin"]}, with training, data '
    "and seeds beside them if wanted."
)


def read_file(file: str) -> tuple[str, bytes]:
    """How a file is called, and what is in it; leaves the program if it cannot be read."""
    name = "standard input" if file == "-" else file
    try:
        return name, sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        leave(Exit.BAD_INPUT, f"{name} cannot be read: {error.strerror}.")


def read_json(file: str) -> tuple[str, Any]:
    """How a file is called, and the JSON in it; leaves the program if there is none."""
    from pydantic_core import from_json

    name, text = read_file(file)
    try:
        return name, from_json(text)
    except ValueError as error:
        leave(Exit.BAD_INPUT, f"{name} cannot be read as JSON: {error}.")


def read_spec(file: str, form: "type[Spec]", *, expected: str) -> "Spec":
    """The request in a file, checked; leaves the program if it is none.

    Args:
        expected: what such a request looks like, for whom sends something else.
    """
    from pydantic import ValidationError

    from app.field_errors import field_errors

    name, body = read_json(file)
    try:
        return form.model_validate(body)
    except ValidationError as error:
        found = field_errors(error.errors(), body)
        lines = [f"{entry.field or 'the whole'}: {entry.message}" for entry in found]
        if isinstance(body, dict) and "model" in form.model_fields and "model" not in body:
            lines.append(f"A request was expected: {expected}")
        leave(Exit.BAD_INPUT, "\n  ".join([f"{name} is no valid request.", *lines]))


def read_settings() -> "Settings":
    """Of the environment; leaves the program if they are wrong."""
    from pydantic import ValidationError

    from worker.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"TRIMTAB_{'_'.join(map(str, entry['loc'])).upper()}: {entry['msg']}"
            if entry["loc"]
            else entry["msg"].removeprefix("Value error, ")
            for entry in error.errors()
        ]
        leave(Exit.BAD_INPUT, "\n  ".join(["The settings are wrong.", *lines]))


@contextmanager
def database() -> "Iterator[Store]":
    """The store that the settings name, with its tables up to date."""
    settings = read_settings()

    from worker.store import Store

    store = Store(settings.database_url)
    try:
        with database_errors():
            store.migrate()
            yield store
    finally:
        store.close()

"""How a command ends, and what its exit code says.

0 done or stable    1 a failing verdict    2 wrong use or bad input    3 the service failed
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from app.client.errors import RefusedError


class Exit(IntEnum):
    OK = 0
    FAILING_VERDICT = 1
    BAD_INPUT = 2
    SERVICE_FAILED = 3


def leave(code: Exit, message: str) -> NoReturn:
    """End the program with a word on standard error."""
    typer.echo(f"trimtab: {message}", err=True)
    sys.exit(code)


@contextmanager
def client_errors() -> Iterator[None]:
    """Leave the program as the errors of the client ask for."""
    from app.client.errors import JobFailedError, RefusedError, TrimtabError, UnfinishedError

    try:
        yield
    except RefusedError as refused:
        leave(_code(refused), _told(refused))
    except (JobFailedError, UnfinishedError) as error:
        leave(Exit.SERVICE_FAILED, f"{error} ({error.job.links['self']})")
    except TrimtabError as error:
        leave(Exit.SERVICE_FAILED, str(error))


def _code(refused: "RefusedError") -> Exit:
    """A request that no service would take is bad input; too many or none just now is not."""
    theirs = 400 <= refused.status < 500 and refused.status not in (408, 424, 429)
    return Exit.BAD_INPUT if theirs or refused.fields else Exit.SERVICE_FAILED


def _told(refused: "RefusedError") -> str:
    told = [f"{name}: {message}" for name, message in refused.fields.items()]
    return "\n  ".join([refused.detail, *(line for line in told if line not in refused.detail)])


@contextmanager
def database_errors() -> Iterator[None]:
    """Leave the program with a word on the database if it cannot be used."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        # Its first line; the others repeat the statement.
        reason = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        leave(Exit.SERVICE_FAILED, f"The database of TRIMTAB_DATABASE_URL: {reason}")

"""Going on with a job, though the database may be away for a while."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")

AWAY = (OperationalError, InterfaceError, TimeoutError)
"""What a database raises that cannot be reached, is busy, or has just gone."""
REST_SECONDS = 0.5


def once_the_database_answers(
    ask: Callable[[], Answer], *, within_seconds: float = 600.0
) -> Answer:
    """What `ask` returns, which reads or writes, tried until the database answers.

    A write may come twice: where the connection breaks while it commits, nobody can say whether it
    did. Whoever writes under a fencing number finds the job ended then, and writes nothing.

    Raises:
        OperationalError, InterfaceError, TimeoutError: it did not answer in time.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        try:
            return ask()
        except AWAY as error:
            if time.monotonic() > deadline:
                raise
            log.warning("the database did not answer; trying again", error=str(error))
            time.sleep(REST_SECONDS)

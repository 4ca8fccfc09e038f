"""How long work tells its caller where it is, and how the caller stops it."""

from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    """Where a piece of work is."""

    stage: str
    """What is being done now, such as ``omega``."""
    share: float
    """How much of the whole is done, from 0 to 1."""


LEAST_SHARE = 0.02
LEAST_SECONDS = 1.0
"""Below either, too little is done to tell how long the rest takes."""


def seconds_left(share: float, running_seconds: float) -> float | None:
    """How long the rest takes if it goes as what is done has gone: t (1 - share) / share.

    None while less than LEAST_SHARE is done or less than LEAST_SECONDS have passed.
    """
    if share < LEAST_SHARE or running_seconds < LEAST_SECONDS:
        return None
    return running_seconds * max(0.0, 1.0 - share) / share


OnProgress = Callable[[Progress], None]
"""Called often and cheaply; may raise `AnalysisCancelledError` to stop the work."""


def ignore_progress(_: Progress) -> None:
    """For callers that only want the result."""

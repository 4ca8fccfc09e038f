"""How long work tells its caller where it is, and how the caller stops it."""

from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    """Where a piece of work is."""

    stage: str
    """What is being done now, such as ``omega``."""
    share: float
    """How much of the whole is done, from 0 to 1."""


OnProgress = Callable[[Progress], None]
"""Called often and cheaply; may raise `AnalysisCancelledError` to stop the work."""


def ignore_progress(_: Progress) -> None:
    """For callers that only want the result."""

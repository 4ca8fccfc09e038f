"""On whose behalf a job is made."""

from dataclasses import dataclass

from worker.keys import NOBODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """Whose a job will be, which request asked for it, and how many of them there may be."""

    key_id: str = NOBODY
    """Of the key that it belongs to."""
    request_id: str | None = None
    """On every line of the log that the job writes."""
    traceparent: str | None = None
    """Of the trace that the request is part of."""
    most_unfinished: int | None = None
    """Jobs that this key may have queued or running; without a limit unless given."""
    most_queued: int | None = None
    """Jobs that may be queued, whosever they are."""


ANYBODY = Requester()
"""Where no key is needed, and there is no limit."""

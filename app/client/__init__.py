"""Talk to a Trimtab service from Python: `Trimtab`, or `AsyncTrimtab` for programs that await.

    from app.client import Trimtab

    with Trimtab() as trimtab:
        print(trimtab.run({"model": {...}}).outcome)

What every call does is described once, in `calls`, and done by either client; docs/client.md tells
of it. No torch is loaded.
"""

from app.client.awaited import AsyncTrimtab
from app.client.calls import Judgement
from app.client.errors import (
    JobFailedError,
    RefusedError,
    TrimtabError,
    UnfinishedError,
    UnreachableError,
)
from app.client.events import Event
from app.client.in_order import Trimtab
from app.client.job import Job

__all__ = [
    "AsyncTrimtab",
    "Event",
    "Job",
    "JobFailedError",
    "Judgement",
    "RefusedError",
    "Trimtab",
    "TrimtabError",
    "UnfinishedError",
    "UnreachableError",
]

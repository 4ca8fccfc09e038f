"""How many event streams are open: each holds a connection, and asks the database ever again."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request

from app.auth import CallerDep
from app.problems import TOO_MANY_STREAMS, ProblemError

RETRY_AFTER_SECONDS = 5


class Streams:
    """Of one process, by who has opened them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    def take(self, who: str) -> None:
        """Take a place for one stream more.

        Raises:
            ProblemError: 429 there is none.
        """
        if self._open[who] >= self._most:
            raise ProblemError(
                TOO_MANY_STREAMS.problem(
                    f"{self._most} event streams are open already. Close one, or ask with ?wait= "
                    "in place of watching.",
                    limit=self._most,
                ),
                {"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        self._open[who] += 1

    def give_back(self, who: str) -> None:
        self._open[who] -= 1
        if not self._open[who]:
            del self._open[who]


async def _place(request: Request, caller: CallerDep) -> AsyncIterator[None]:
    """A place that is held until the stream has ended, however it ends."""
    streams: Streams = request.app.state.streams
    streams.take(caller.counted_as)
    try:
        yield
    finally:
        streams.give_back(caller.counted_as)


StreamPlace = Annotated[None, Depends(_place)]

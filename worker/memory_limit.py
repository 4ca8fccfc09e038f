"""A bound on what one job allocates in main memory, so that it fails and its machine does not."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def at_most(num_bytes: int) -> Iterator[None]:
    """Let allocations fail that go beyond this much more than the process holds now.

    Linux alone knows such a bound: of writable memory that is the process's own, RLIMIT_DATA.
    """
    if sys.platform != "linux":
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = _held_bytes() + num_bytes
    resource.setrlimit(
        resource.RLIMIT_DATA, (bound if hard == resource.RLIM_INFINITY else min(bound, hard), hard)
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, says that memory could not be had."""
    while error is not None:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


_WORDS = ("can't allocate memory", "bad_alloc", "bad allocation", "out of memory")
"""How torch says it; there is no class for it on the CPU."""


def _held_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmData")).split()[1])

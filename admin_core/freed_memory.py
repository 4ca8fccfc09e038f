"""Give freed memory back to the operating system.

The allocator of glibc keeps what was freed, and finds no room in it for a matrix that must begin at
a multiple of 64 bytes, so that a pass through a thousand sub-layers would hold them all.
"""

import ctypes
import sys


def give_back() -> None:
    """Of this process; where the C library has no such call, nothing happens."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)

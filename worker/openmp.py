"""How torch's threads share the processor with others."""

import os

SPINS = 20_000
"""Looks before a thread goes to sleep, some ten microseconds: less than a turn of the scheduler and
enough to be awake for the next operation of a layer."""


def wait_without_spinning() -> None:
    """Let OpenMP's threads sleep while they wait for each other; call before torch is loaded.

    By default they spin. On a machine where another program keeps one core busy, each of the
    thousands of small operations of a diagnosis then waits for a time slice: a diagnosis of 5
    seconds took 100. A short look before they sleep costs nothing there, and saves a fourth of a
    profiling pass where the cores are free.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))

"""How torch's threads share the processor with others."""

import os


def wait_without_spinning() -> None:
    """Let OpenMP's threads sleep while they wait for each other; call before torch is loaded.

    By default they spin. On a machine where another program keeps one core busy, each of the
    thousands of small operations of a diagnosis then waits for a time slice: a diagnosis of 5
    seconds took 100. Where the cores are free, sleeping costs nothing that could be measured.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

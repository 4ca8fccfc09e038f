import os
import subprocess
import sys

from worker.memory import resident_bytes

HOLDS_MEMORY = "import sys; held = b'x' * 100_000_000; print(flush=True); sys.stdin.read()"


def test_it_is_that_of_the_process_and_of_those_that_it_has_started() -> None:
    alone = resident_bytes()
    assert 10_000_000 < alone
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_MEMORY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert resident_bytes() > resident_bytes(child.pid) > 100_000_000
        child.communicate()
    assert resident_bytes(child.pid) == 0
    assert resident_bytes(os.getpid()) < alone + 100_000_000

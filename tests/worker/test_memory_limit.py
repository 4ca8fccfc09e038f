import subprocess
import sys

import pytest

from worker.memory_limit import is_out_of_memory

PROGRAM = """
import torch
from worker.memory_limit import at_most, is_out_of_memory

torch.ones(1000) @ torch.ones(1000)
try:
    with at_most(200_000_000):
        torch.ones({count})
    print("had")
except Exception as error:
    print(is_out_of_memory(error))
# Afterwards there is no bound.
print(len(torch.ones(100_000_000)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone knows such a bound")
@pytest.mark.parametrize(("count", "said"), [(100_000_000, "True"), (10_000_000, "had")])
def test_what_goes_beyond_fails_and_its_process_lives(count: int, said: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(count=count)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [said, "100000000"]


def forward() -> None:
    try:
        raise MemoryError
    except MemoryError as error:
        raise ValueError("the model's forward pass raises") from error


def test_what_an_error_came_from_counts() -> None:
    with pytest.raises(ValueError, match="forward") as caught:
        forward()
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(ValueError("another"))

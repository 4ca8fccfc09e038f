"""Randomness that depends on a seed and a purpose, and on nothing else.

A stream of its own for each purpose (the weights at a path, the data, a perturbation) means that
drawing more of one never shifts another. Streams live on the CPU, so that a seed means the same
numbers on every device.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derived_seed(seed: int, purpose: str) -> int:
    """A 63-bit seed that both arguments decide."""
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def stream(seed: int, purpose: str) -> torch.Generator:
    """A fresh stream of random numbers for `purpose`."""
    return torch.Generator().manual_seed(derived_seed(seed, purpose))


@contextmanager
def ambient(seed: int, purpose: str, device: torch.device) -> Iterator[None]:
    """Within the block, dropout on `device` draws from a stream of its own; the process's own
    random state is untouched."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        seed_ambient(derived_seed(seed, purpose), device)
        yield


def seed_ambient(seed: int, device: torch.device) -> None:
    """Seed what dropout on `device` draws from. `torch.manual_seed` would seed every device, and
    where CUDA has not begun it writes down the whole stack to do so later, at each step anew."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


class HeldStream:
    """The ambient stream of one purpose, which is left and entered again where it was left."""

    def __init__(self, seed: int, purpose: str, device: torch.device) -> None:
        self._cuda = [device] if device.type == "cuda" else []
        with ambient(seed, purpose, device):
            self.state = self._now()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """As in `ambient`, within the block."""
        with torch.random.fork_rng(devices=self._cuda):
            torch.set_rng_state(self.state[0])
            for device, state in zip(self._cuda, self.state[1:], strict=True):
                torch.cuda.set_rng_state(state, device)
            yield
            self.state = self._now()

    def _now(self) -> list[torch.Tensor]:
        return [torch.get_rng_state(), *map(torch.cuda.get_rng_state, self._cuda)]

"""A network and a batch that the caller made: in the caller's own process, as any code must be."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from admin_core.data.batch import Batch
from admin_core.data.text import Split
from admin_core.report import StackName
from admin_core.residual import ResidualBranch
from admin_core.sources.discovered import DiscoveredSource


class Given(DiscoveredSource):
    """One model, with the weights that it has, and one batch."""

    def __init__(self, model: nn.Module, batch: Batch) -> None:
        self.model, self.given_batch = model, batch

    def build(self, seed: int) -> nn.Module:
        return self.model

    def batch(self, seed: int, step: int = 0, split: Split = Split.WHOLE) -> Batch:
        return self.given_batch

    def admin_stacks(self, branches: Sequence[ResidualBranch]) -> tuple[StackName, ...]:
        return ()

    @property
    def data_sha256(self) -> None:
        return None

    def check_data(self, *, held_out: bool) -> None:
        """There is no data set: the batch is as it was given."""


def as_batch(given: Any) -> Batch:
    """What a caller calls a batch: keyword arguments in a mapping, positional ones in a tuple or
    a list, one tensor, or a `Batch`, which alone can hold targets beside the inputs.

    Raises:
        TypeError: it is none of these.
    """
    match given:
        case Batch():
            return given
        case Tensor():
            return Batch(inputs={}, arguments=(given,))
        case Mapping():
            return Batch(inputs=dict(given))
        case tuple() | list():
            return Batch(inputs={}, arguments=tuple(given))
    raise TypeError(
        f"A batch was a {type(given).__name__}, where a dict of keyword arguments, a tuple of "
        "positional ones, a tensor or an admin_core.data.batch.Batch was expected."
    )

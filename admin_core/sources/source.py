"""What every source of models and batches can be asked."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import nn

from admin_core.applicability import Applicability
from admin_core.data.batch import Batch
from admin_core.data.text import Split
from admin_core.report import Comparators, Finding, StackName
from admin_core.residual import ResidualBranch


class Source(ABC):
    """Models by their seed, and batches by seed and step, all on one device."""

    @abstractmethod
    def build(self, seed: int) -> nn.Module:
        """A model with fresh weights, which the seed decides."""

    @abstractmethod
    def branches(self, model: nn.Module) -> Sequence[ResidualBranch]:
        """Of a model that this source has built, in forward order; none in a network without a
        residual addition.

        Raises:
            ForwardError: the model's own forward pass raises.
        """

    @abstractmethod
    def batch(self, seed: int, step: int = 0, split: Split = Split.WHOLE) -> Batch:
        """The batch of a step, the same for the same arguments."""

    @abstractmethod
    def applicability(self, branches: Sequence[ResidualBranch]) -> Applicability:
        """Which stacks take omegas while the weights are fresh."""

    @abstractmethod
    def admin_stacks(self, branches: Sequence[ResidualBranch]) -> tuple[StackName, ...]:
        """The stacks that are to be trained with their omegas in place.

        Raises:
            InvalidSpecError: the request wants a scheme that this architecture is not.
        """

    @abstractmethod
    def take_omegas(self, omegas: Mapping[ResidualBranch, float]) -> None:
        """Give branches of the `admin_stacks` their omegas, trainable and one per feature."""

    @abstractmethod
    def comparators(self, branches: Sequence[ResidualBranch]) -> dict[StackName, Comparators]:
        """What other schemes would set in each stack."""

    @property
    @abstractmethod
    def data_sha256(self) -> str | None:
        """Of the text that batches hold; none where they hold none."""

    @abstractmethod
    def check_data(self, *, held_out: bool) -> None:
        """Return if the models can be trained on the data set that was given, if one was.

        Args:
            held_out: whether the part for validation is read by itself, as in a race.

        Raises:
            InvalidSpecError: names the field to change.
        """

    def findings(self, model: nn.Module, branches: Sequence[ResidualBranch]) -> list[Finding]:
        """What is wrong with how a model is put together."""
        return []

    def unavailable(self) -> Mapping[str, str]:
        """What cannot be had of these models whatever is asked, and why."""
        return {}

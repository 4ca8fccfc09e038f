"""One step's worth of data, on one device."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from admin_core.errors import EmptyBatchError, UnknownTokenError

IGNORED = -100
"""A target that no loss is taken at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a model is called with, and what it should have said."""

    inputs: Mapping[str, Tensor]
    """Keyword arguments of the model's forward pass."""

    targets: Tensor
    """Token per logit position, or `IGNORED`; batch seq."""

    def check(self, vocab_size: int) -> None:
        """Return if a model of this vocabulary can read the batch.

        Raises:
            EmptyBatchError: it holds no token.
            UnknownTokenError: it holds one that is not in the vocabulary.
        """
        if any(tensor.numel() == 0 for tensor in self.inputs.values()):
            raise EmptyBatchError({name: tuple(x.shape) for name, x in self.inputs.items()})
        for name, tokens in self.inputs.items():
            if tokens.dtype == torch.long:
                unknown = tokens[(tokens < 0) | (tokens >= vocab_size)]
                if len(unknown):
                    raise UnknownTokenError(name, int(unknown[0]), vocab_size)

    def to(self, device: torch.device) -> "Batch":
        inputs = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        return Batch(inputs=inputs, targets=self.targets.to(device))

"""One step's worth of data, on one device."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

IGNORED = -100
"""A target that no loss is taken at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a model is called with, and what it should have said."""

    inputs: Mapping[str, Tensor]
    """Keyword arguments of the model's forward pass."""

    targets: Tensor
    """Token per logit position, or `IGNORED`; batch seq."""

    def to(self, device: torch.device) -> "Batch":
        inputs = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        return Batch(inputs=inputs, targets=self.targets.to(device))

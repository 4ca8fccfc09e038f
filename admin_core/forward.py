"""Put a batch through a model, whoever wrote it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from admin_core.data.batch import Batch


def run(model: nn.Module, batch: Batch) -> None:
    """One forward pass in the model's own mode, for what is seen on the way; as far as the last
    state where a model can be run without its projection to logits."""
    getattr(model, "states", model)(*batch.arguments, **batch.inputs)


@contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Within the block the model is in training mode or not; afterwards each of its modules as it
    was."""
    before = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, was_training in before.items():
            module.training = was_training

"""The loss on data that training never sees."""

from collections.abc import Iterable
from statistics import fmean

import torch

from admin_core.data.batch import Batch
from admin_core.spec import Autocast
from admin_core.training.loss import objective
from admin_core.training.schedule_free import averaged


@torch.no_grad()
def validation_loss(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    *,
    autocast: Autocast = Autocast.NONE,
) -> float:
    """Mean over `batches` in nats, dropout off; with the averaged weights where the optimizer keeps
    an average. The model comes back in the mode and with the weights that it had."""
    was_training = model.training
    model.eval()
    try:
        with averaged(optimizer):
            return fmean(
                [float(objective(model, batch, autocast=autocast)[1]) for batch in batches]
            )
    finally:
        model.train(was_training)

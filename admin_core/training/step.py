"""One training step."""

from collections.abc import Sequence

import torch
from torch import nn

from admin_core.data.batch import Batch
from admin_core.spec import TrainingSpec
from admin_core.training.loss import objective


def training_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    training: TrainingSpec,
    *,
    learning_rate: float,
) -> float:
    """Move the weights once; returns the loss that they had before, as a mean over `batches`, in
    nats and without label smoothing."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.zero_grad()
    losses = []
    for batch in batches:
        to_minimise, loss = objective(
            model, batch, label_smoothing=training.label_smoothing, autocast=training.autocast
        )
        (to_minimise / len(batches)).backward()  # type: ignore[no-untyped-call]
        losses.append(loss)
    if training.clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
    optimizer.step()
    return float(torch.stack(losses).mean())

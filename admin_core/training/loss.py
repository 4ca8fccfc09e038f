"""What training makes small.

The mean cross-entropy of the logits, where a batch has targets; else the loss that the model takes
of itself, as the models of the Transformers library do where their inputs hold labels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from admin_core.data.batch import IGNORED, Batch
from admin_core.errors import NoLossError
from admin_core.spec import Autocast


def batch_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy over the batch's targets, in nats, or the model's own loss; a scalar.

    Raises:
        NoLossError: there are no targets, and the model gives no loss.
    """
    return _loss(model(*batch.arguments, **batch.inputs), batch)


def logits_of(output: Any) -> Tensor:
    """The logits in what a model returns: a tensor, a tuple that begins with one, or an object of
    the Transformers library.

    Raises:
        NoLossError: there are none.
    """
    found = output[0] if isinstance(output, tuple | list) and output else output
    found = getattr(output, "logits", found)
    if not isinstance(found, Tensor) or not found.is_floating_point():
        raise NoLossError(f"a {type(output).__name__} holds no logits")
    return found


def objective(
    model: nn.Module,
    batch: Batch,
    *,
    label_smoothing: float = 0.0,
    autocast: Autocast = Autocast.NONE,
) -> tuple[Tensor, Tensor]:
    """The scalar to take gradients of, and the mean cross-entropy in nats: the same thing, unless
    labels are smoothed. The loss is taken in float32 whatever the products' number format."""
    with torch.autocast(batch.device.type, torch.bfloat16, enabled=autocast is Autocast.BF16):
        output = model(*batch.arguments, **batch.inputs)
    loss = _loss(output, batch)
    if not label_smoothing or not batch.has_targets:
        return loss, loss.detach()
    return _cross_entropy(logits_of(output), batch.targets, label_smoothing), loss.detach()


def _loss(output: Any, batch: Batch) -> Tensor:
    if batch.has_targets:
        return _cross_entropy(logits_of(output), batch.targets)
    own = getattr(output, "loss", None)
    if own is None and isinstance(output, Tensor) and output.ndim == 0:
        own = output
    if not isinstance(own, Tensor):
        raise NoLossError("the batch has no targets, and the model's output no loss of its own")
    return own.float().mean()


def _cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    if logits.shape[:-1] != targets.shape:
        raise NoLossError(
            f"logits of the shape {tuple(logits.shape)} answer no targets of {tuple(targets.shape)}"
        )
    return F.cross_entropy(
        logits.float().flatten(0, -2),
        targets.flatten(),
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
    )

"""What training makes small."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from admin_core.data.batch import IGNORED, Batch
from admin_core.spec import Autocast


def batch_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy over the batch's targets, in nats; a scalar."""
    return _cross_entropy(model(**batch.inputs), batch.targets)


def objective(
    model: nn.Module,
    batch: Batch,
    *,
    label_smoothing: float = 0.0,
    autocast: Autocast = Autocast.NONE,
) -> tuple[Tensor, Tensor]:
    """The scalar to take gradients of, and the mean cross-entropy in nats: the same thing, unless
    labels are smoothed. The loss is taken in float32 whatever the products' number format."""
    device = batch.targets.device.type
    with torch.autocast(device, torch.bfloat16, enabled=autocast is Autocast.BF16):
        logits = model(**batch.inputs)
    loss = _cross_entropy(logits, batch.targets)
    if not label_smoothing:
        return loss, loss.detach()
    return _cross_entropy(logits, batch.targets, label_smoothing), loss.detach()


def _cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    return F.cross_entropy(
        logits.float().flatten(0, 1),
        targets.flatten(),
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
    )

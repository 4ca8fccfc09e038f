"""What training makes small."""

import torch.nn.functional as F
from torch import Tensor, nn

from admin_core.data.batch import IGNORED, Batch


def batch_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy over the batch's targets, in nats; a scalar."""
    logits = model(**batch.inputs)
    return F.cross_entropy(
        logits.float().flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED
    )

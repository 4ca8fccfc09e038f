"""The optimizers of the field, from a training spec."""

import torch
from torch import nn

from admin_core.spec import Optimizer, TrainingSpec
from admin_core.training.schedule_free import ScheduleFree


def make_optimizer(
    model: nn.Module, training: TrainingSpec, *, learning_rate: float | None = None
) -> torch.optim.Optimizer:
    """A fresh optimizer over the model's parameters, at the peak learning rate unless told.

    Weight decay is for matrices alone: a norm, a bias or an omega that shrinks changes what the
    network is, not how smooth it is.
    """
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": training.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    lr = training.learning_rate if learning_rate is None else learning_rate
    match training.optimizer:
        case Optimizer.SGD:
            return torch.optim.SGD(groups, lr=lr, momentum=training.momentum)
        case Optimizer.ADAM:
            return torch.optim.Adam(groups, lr=lr, betas=training.betas, eps=training.epsilon)
        case Optimizer.ADAMW:
            return torch.optim.AdamW(groups, lr=lr, betas=training.betas, eps=training.epsilon)
        case Optimizer.RADAM:
            return torch.optim.RAdam(groups, lr=lr, betas=training.betas, eps=training.epsilon)
        case Optimizer.SCHEDULE_FREE:
            return ScheduleFree(groups, lr=lr, betas=training.betas, eps=training.epsilon)

"""Schedule-free AdamW: an average of the steps takes the place of a decaying learning rate.

    y = (1 - beta1) z + beta1 x           where the gradient g is taken; what the parameters hold
    v = beta2 v + (1 - beta2) g^2
    z = z - lr (g / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay y)
    x = (1 - c) x + c z                   what is to be used, with c = lr^2 / sum of all lr^2

With lr the largest learning rate so far. Source: Defazio et al. 2024, arXiv:2405.15682.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class ScheduleFree(torch.optim.Optimizer):
    """Between steps the parameters hold y; see `averaged` for x."""

    def __init__(self, params: Any, *, lr: float, betas: tuple[float, float], eps: float) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": 0.0,
                "steps": 0,
                "largest_lr": 0.0,
                "sum_of_squares": 0.0,
            },
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move z along the gradients, x towards z, and the parameters between them."""
        for group in self.param_groups:
            lr, (beta1, beta2) = group["lr"], group["betas"]
            group["steps"] += 1
            group["largest_lr"] = max(lr, group["largest_lr"])
            group["sum_of_squares"] += group["largest_lr"] ** 2
            share = group["largest_lr"] ** 2 / (group["sum_of_squares"] or 1.0)
            correction = 1 - beta2 ** group["steps"]
            for y in group["params"]:
                if y.grad is None:
                    continue
                state = self.state[y]
                if not state:
                    state["x"], state["z"] = y.clone(), y.clone()
                    state["v"] = torch.zeros_like(y)
                x, z, v = state["x"], state["z"], state["v"]
                v.mul_(beta2).addcmul_(y.grad, y.grad, value=1 - beta2)
                if group["weight_decay"]:
                    z.sub_(y, alpha=lr * group["weight_decay"])
                z.addcdiv_(y.grad, (v / correction).sqrt_().add_(group["eps"]), value=-lr)
                x.lerp_(z, share)
                torch.lerp(z, x, beta1, out=y)


@contextmanager
def averaged(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Within the block, the parameters of a schedule-free optimizer hold x, the average that is to
    be used; afterwards what they held before, bit for bit. Any other optimizer's stay."""
    held = {}
    if isinstance(optimizer, ScheduleFree):
        held = {parameter: parameter.detach().clone() for parameter in optimizer.state}
    with torch.no_grad():
        for parameter in held:
            parameter.copy_(optimizer.state[parameter]["x"])
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, y in held.items():
                parameter.copy_(y)

import math

import pytest
import torch
from torch import nn

from admin_core.spec import Optimizer, TrainingSpec
from admin_core.training.optimizers import make_optimizer
from admin_core.training.schedule_free import ScheduleFree, averaged

RATES = (0.01, 0.02, 0.02, 0.02)


def gradient(y: float) -> float:
    """Of (y - 1)^2 / 2."""
    return y - 1


def descend(weight_decay: float = 0.0) -> tuple[ScheduleFree, nn.Parameter]:
    """Some steps from y = 3."""
    y = nn.Parameter(torch.tensor([[3.0]]))
    optimizer = ScheduleFree(
        [{"params": [y], "weight_decay": weight_decay}], lr=0.0, betas=(0.9, 0.98), eps=1e-8
    )
    for lr in RATES:
        optimizer.param_groups[0]["lr"] = lr
        y.grad = torch.full_like(y, gradient(y.item()))
        optimizer.step()
    return optimizer, y


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_follows_the_equations_one_number_at_a_time(weight_decay: float) -> None:
    x = y = z = 3.0
    v = squares = 0.0
    for t, lr in enumerate(RATES, start=1):
        g = gradient(y)
        v = 0.98 * v + 0.02 * g**2
        z -= lr * (g / (math.sqrt(v / (1 - 0.98**t)) + 1e-8) + weight_decay * y)
        squares += max(RATES[:t]) ** 2
        c = max(RATES[:t]) ** 2 / squares
        x = (1 - c) * x + c * z
        y = 0.1 * z + 0.9 * x
    optimizer, parameter = descend(weight_decay)
    assert parameter.item() == pytest.approx(y, rel=1e-6)
    with averaged(optimizer):
        assert parameter.item() == pytest.approx(x, rel=1e-6)


def test_the_average_is_there_for_the_block_alone() -> None:
    optimizer, y = descend()
    before = y.detach().clone()
    with averaged(optimizer):
        assert not torch.equal(y, before)
    assert torch.equal(y, before)


def test_other_optimizers_have_no_average() -> None:
    model = nn.Linear(2, 2)
    before = model.weight.detach().clone()
    with averaged(make_optimizer(model, TrainingSpec(optimizer=Optimizer.ADAM))):
        assert torch.equal(model.weight, before)


def test_its_first_step_is_adamws() -> None:
    ends = []
    for optimizer in (Optimizer.SCHEDULE_FREE, Optimizer.ADAMW):
        torch.manual_seed(0)
        model = nn.Linear(3, 3)
        stepper = make_optimizer(model, TrainingSpec(optimizer=optimizer, weight_decay=0.1))
        model(torch.ones(3)).sum().backward()
        stepper.step()
        ends.append(model.weight.detach())
    torch.testing.assert_close(ends[0], ends[1])


def test_gradients_are_left_as_they_were() -> None:
    _, y = descend()
    y.grad = torch.full_like(y, 7.0)
    ScheduleFree([y], lr=0.1, betas=(0.9, 0.98), eps=1e-8).step()
    assert y.grad.item() == 7.0

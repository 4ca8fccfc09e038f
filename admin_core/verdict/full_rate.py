"""The learning rate at which a step really moves the weights.

RAdam holds its first steps back by the rectification r_t <= 1, for hundreds of steps where beta2 is
near 1 (Liu et al. 2020, arXiv:1908.03265, equation 5); the other optimizers take theirs in full.
"""

import math

from admin_core.spec import Optimizer, TrainingSpec
from admin_core.training.schedules import learning_rate_at

SUMMED_STEPS = 2_000
"""Steps of a run that are looked at one by one; longer runs are looked at in strides."""


def full_rate(step: int, training: TrainingSpec) -> float:
    """eta_t of step t, from 1, rectified where the optimizer rectifies it."""
    rate = learning_rate_at(step, training)
    if training.optimizer is Optimizer.RADAM:
        rate *= rectification(step, training.betas[1])
    return rate


def peak_rate(training: TrainingSpec) -> float:
    """The largest of all steps'."""
    stride = max(1, training.steps // SUMMED_STEPS)
    steps = {*range(1, training.steps + 1, stride), min(training.warmup_steps, training.steps) or 1}
    return max(full_rate(t, training) for t in steps)


def rectification(step: int, beta2: float) -> float:
    """r_t of RAdam; 0 while the variance of its second moment is unbounded, when it takes plain
    gradient steps."""
    longest = 2 / (1 - beta2) - 1
    power = beta2**step
    length = longest - 2 * step * power / (1 - power)
    if length <= 5:
        return 0.0
    return math.sqrt(
        (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    )

"""The learning rate of each step: a linear warm-up, then a schedule.

With t the step from 1, w the warm-up's steps, T all steps and peak the learning rate:

    warm-up        peak * t / w                                     for t <= w
    constant       peak
    linear         peak * (1 - d)                                   with d = (t - w) / (T - w + 1)
    cosine         peak * (1 + cos(pi d)) / 2
    inverse_sqrt   peak * sqrt(w / t)                               with w at least 1

d stays below 1, so that the last step moves the weights too.
"""

import math

from admin_core.spec import Schedule, TrainingSpec


def learning_rate_at(step: int, training: TrainingSpec) -> float:
    """The learning rate of step t, from 1 to training.steps."""
    warmup, peak = training.warmup_steps, training.learning_rate
    if step <= warmup:
        return peak * step / warmup
    done = (step - warmup) / (training.steps - warmup + 1)
    match training.schedule:
        case Schedule.CONSTANT:
            return peak
        case Schedule.LINEAR:
            return peak * (1 - done)
        case Schedule.COSINE:
            return peak * (1 + math.cos(math.pi * done)) / 2
        case Schedule.INVERSE_SQRT:
            return peak * math.sqrt(max(warmup, 1) / step)

"""When a loss goes wrong, by the rules of well-known trainers, as data.

A loss spikes when it is finite and above

    threshold = factor * centre + sigmas * deviation

over a running window of the finite losses before it. A value that is not finite is never put into
the window: it would hide what follows for a window's length.

    lightning     Lightning's SpikeDetection: window 10, warm-up 1, rtol 2.0: three times the mean
    llm-foundry   KillLossSpike: 2 x the running mean of 100 for more than 4 batches in a row
    olmo          OLMo-core's SkipStepOptimizer: mean + 6 standard deviations of 128, from 64 on
    losslint      10 x the running median of 25

    sagemaker     SageMaker Debugger's LossNotDecreasing, no spike: against the loss 10 steps
                  earlier, the loss fell by less than 0.1 %, or rose by more than 5 %. Its code is
                  not public; this is how its documentation reads
"""

import math
import statistics
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise


class LossPreset(StrEnum):
    LIGHTNING = "lightning"
    LLM_FOUNDRY = "llm-foundry"
    OLMO = "olmo"
    LOSSLINT = "losslint"
    SAGEMAKER = "sagemaker"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpikeRule:
    """A loss far above those before it."""

    window: int
    """Finite losses that are looked back upon."""

    starts_after: int
    """Losses before the first that can spike."""

    factor: float
    """On the centre."""

    sigmas: float = 0.0
    """On the population standard deviation."""

    patience: int = 0
    """Losses in a row that break the rule and do not count yet."""

    centre: Callable[[Iterable[float]], float] = statistics.fmean

    @property
    def formula(self) -> str:
        """When the rule fires, in words."""
        centre = "median" if self.centre is statistics.median else "mean"
        deviation = f" + {self.sigmas:g} standard deviations" if self.sigmas else ""
        times = f"{self.factor:g} x " if self.factor != 1 else ""
        in_a_row = f", more than {self.patience} times in a row" if self.patience else ""
        return f"loss > {times}{centre}{deviation} of the last {self.window} losses{in_a_row}"

    def broken(self, loss: float, before: Sequence[float]) -> float | None:
        """The threshold that `loss` breaks after `before`, oldest first; None where it is fine."""
        if len(before) < self.starts_after:
            return None
        threshold = self.factor * self.centre(before)
        if self.sigmas:
            mean = statistics.fmean(before)
            variance = statistics.fmean((other - mean) ** 2 for other in before)
            threshold += self.sigmas * math.sqrt(variance)
        return threshold if loss > threshold else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDecreasingRule:
    """A loss that is not below an earlier one by enough, or above it by too much."""

    num_steps: int = 10
    diff_percent: float = 0.1
    increase_threshold_percent: float = 5.0
    patience: int = 0

    @property
    def window(self) -> int:
        return self.num_steps

    @property
    def formula(self) -> str:
        """When the rule fires, in words."""
        return (
            f"against {self.num_steps} steps earlier, loss fell by less than "
            f"{self.diff_percent:g} % or rose by more than {self.increase_threshold_percent:g} %"
        )

    def broken(self, loss: float, before: Sequence[float]) -> float | None:
        """As `SpikeRule.broken`."""
        if len(before) < self.num_steps:
            return None
        earlier = before[0]
        if loss > earlier:
            allowed = earlier * (1 + self.increase_threshold_percent / 100)
        else:
            allowed = earlier * (1 - self.diff_percent / 100)
        return allowed if loss > allowed else None


LossRule = SpikeRule | NotDecreasingRule

LOSS_RULES: dict[LossPreset, LossRule] = {
    LossPreset.LIGHTNING: SpikeRule(window=10, starts_after=1, factor=3.0),
    LossPreset.LLM_FOUNDRY: SpikeRule(window=100, starts_after=1, factor=2.0, patience=4),
    LossPreset.OLMO: SpikeRule(window=128, starts_after=64, factor=1.0, sigmas=6.0),
    LossPreset.LOSSLINT: SpikeRule(
        window=25, starts_after=1, factor=10.0, centre=statistics.median
    ),
    LossPreset.SAGEMAKER: NotDecreasingRule(),
}


class LossDetector:
    """Follows one run's losses with one rule."""

    def __init__(self, rule: LossRule) -> None:
        self.rule = rule
        self.window: deque[float] = deque(maxlen=rule.window)
        self.in_a_row = 0

    def see(self, loss: float) -> float | None:
        """The threshold that `loss` broke, or None where it is fine or not finite."""
        if not math.isfinite(loss):
            return None
        threshold = self.rule.broken(loss, self.window)
        self.window.append(loss)
        self.in_a_row = 0 if threshold is None else self.in_a_row + 1
        return threshold if self.in_a_row > self.rule.patience else None


def firing_steps(losses: Iterable[float], rule: LossRule) -> list[int]:
    """The steps, from 1, at which the rule fires; neighbours count as one, by the first."""
    detector = LossDetector(rule)
    firing = [detector.see(loss) is not None for loss in losses]
    return [
        step
        for step, (before, now) in enumerate(pairwise([False, *firing]), start=1)
        if now and not before
    ]

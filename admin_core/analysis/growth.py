"""How the output change grows with depth: a slope, how sure it is, and a law's name.

    log D_i = a + s * log i + W_i

s is fitted by least squares over the depths from the second on. What is left over, W_i, is no
independent noise: a sub-layer multiplies what comes in by a factor of its own, so that log D_i
is a random walk along depth, with steps that shrink with the width. The interval follows from
that walk: with S^2 the mean square of its steps and w the weights of the least-squares slope,

    Var[s] = S^2 * sum_jk w_j w_k min(j, k)

It speaks of other weights of the same model, not only of other draws of the perturbation, and is
wide in narrow and deep models, as those differ from seed to seed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from admin_core.report import Law

FIRST_DEPTH = 2
"""The first depth of every fit. A lone attention over an embedding averages unrelated tokens, so
that its branch, and with it D_1, is far smaller than all that follow."""

FEWEST_DEPTHS = 3

LINEAR_FROM = 0.9
LOGARITHMIC_TO = 0.6
"""Log-log slopes from which, and up to which, growth is called O(N) and O(log N)."""

NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class Growth:
    """A fitted log-log slope."""

    slope: float
    interval: tuple[float, float]
    """95 %, by the random walk of the residuals."""

    @property
    def law(self) -> Law:
        """The growth that the slope stands for."""
        if self.slope >= LINEAR_FROM:
            return Law.LINEAR
        return Law.LOGARITHMIC if self.slope <= LOGARITHMIC_TO else Law.BETWEEN


def growth(depths: Sequence[int], output_change: Sequence[float]) -> Growth | None:
    """The slope of log D_i over log i, or None below four depths or where nothing moved."""
    x, y = _logarithms(depths, output_change)
    if len(x) < FEWEST_DEPTHS:
        return None
    weights = (x - x.mean()) / (x - x.mean()).square().sum()
    slope = float(weights @ y)
    step_variance = (y - slope * x).diff().square().mean()
    # sum_jk w_j w_k min(j, k) = sum_(m >= 1) (sum_(j >= m) w_j)^2, which takes no matrix.
    weights_behind = weights.flip(0).cumsum(0).flip(0)[1:]
    half = NORMAL_95 * math.sqrt(float(step_variance * weights_behind.square().sum()))
    return Growth(slope, (slope - half, slope + half))


def proportionality(
    depths: Sequence[int], output_change: Sequence[float], theory: Sequence[float]
) -> float | None:
    """C of D_i = C * T_i by least squares over logarithms, in which a factor is the same error at
    every depth; None where nothing moved or the theory says that nothing would.

    Args:
        theory: T_i per depth.
    """
    ratios = [
        math.log(change / expected)
        for depth, change, expected in zip(depths, output_change, theory, strict=True)
        if depth >= FIRST_DEPTH and change > 0 and expected > 0
    ]
    return math.exp(sum(ratios) / len(ratios)) if ratios else None


def _logarithms(depths: Sequence[int], output_change: Sequence[float]) -> tuple[Tensor, Tensor]:
    points = [
        (math.log(depth), math.log(change))
        for depth, change in zip(depths, output_change, strict=True)
        if depth >= FIRST_DEPTH and change > 0
    ]
    columns = torch.tensor(points, dtype=torch.float64).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]

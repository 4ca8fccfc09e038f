"""What the parts of a wide network do to variances and covariances.

Notation:
    q_t     mean square of a feature of token t
    K_ts    mean product of a feature of two tokens t and s; the diagonal is not used
    c_ts    their correlation, K_ts / sqrt(q_t q_s)
    m_t     mean over the features of a token, which is 0 but for positions that are no draw

A long sequence is taken as groups of neighbouring tokens that are alike: then t and s are groups,
q_t is of each token in one, and K_tt of two tokens in the same.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from admin_core.spec import Activation, Norm

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]

TILTS = 3
"""Values of the logits' covariance at which attention is worked out; between them it is linear."""

HERMITE_TERMS = 24
NODES = 64


@dataclass(frozen=True, slots=True)
class Kernel:
    """Variances and covariances of a state."""

    q: Vector
    K: Matrix
    tokens_per_group: float
    m: Vector | None = None
    """None where it is 0 everywhere."""

    @property
    def correlation(self) -> Matrix:
        root = np.sqrt(np.maximum(self.q, 1e-300))
        clipped: Matrix = np.clip(self.K / np.outer(root, root), -1, 1)
        return clipped

    @property
    def variance(self) -> float:
        """Over all tokens and features."""
        mean = 0.0 if self.m is None else float(self.m.mean())
        return float(self.q.mean()) - mean**2

    def scaled(self, factor: float) -> "Kernel":
        """Of the state times the root of `factor`."""
        m = None if self.m is None else math.sqrt(factor) * self.m
        return replace(self, q=factor * self.q, K=factor * self.K, m=m)

    def normed(self, norm: Norm) -> "Kernel":
        """Behind a norm, which gives each token mean square 1; LayerNorm, mean 0 before."""
        centred = self
        if self.m is not None and norm is Norm.LAYER_NORM:
            centred = Kernel(
                self.q - self.m**2, self.K - np.outer(self.m, self.m), self.tokens_per_group
            )
        m = None if centred.m is None else centred.m / np.sqrt(centred.q)
        return replace(centred, q=np.ones_like(self.q), K=centred.correlation, m=m)

    def dropped(self, probability: float) -> "Kernel":
        """Behind dropout, which is independent between tokens."""
        return replace(self, q=self.q / (1 - probability))

    def plus(self, other: "Kernel") -> "Kernel":
        """The sum with a branch, which is independent of it."""
        return replace(self, q=self.q + other.q, K=self.K + other.K, m=self.m)


def attended(
    queries: Kernel, values: Kernel, *, logit_variance: float, causal: bool, dropout: float
) -> Kernel:
    """The weighted mean of `values` that each token of `queries` takes.

    The logits l_tu are Gaussian with Cov[l_tu, l_sv] = logit_variance c_ts c_uv, c_ts of the
    queries and c_uv of the keys, which read what the values read. To leading order in the number of
    tokens, E[p_tu p_sv] is then exp(logit_variance c_ts c_uv) over its sum over u and v, and

        Cov[ctx_t, ctx_s] = sum_uv exp(a c_uv) K_uv / sum_uv exp(a c_uv),  a = logit_variance c_ts

    with u up to t and v up to s where attention is causal; a = logit_variance for Var[ctx_t]. Where
    a is not small, a few tokens take all the weight, and `effective` says what a stands for.
    """
    correlation, seen = queries.correlation, values.correlation
    num_tokens = len(values.q) * values.tokens_per_group
    alike = float(seen.mean())

    def tilt_of(c: float) -> float:
        # What all logits of a query share moves no weight.
        a = logit_variance * c * (1 - alike)
        few = max(2, round(num_tokens / 2 if causal else num_tokens))
        return a if a <= 0 or alike >= 1 else effective(a, few) / (1 - alike)

    between = np.linspace(min(0.0, float(correlation.min())), 1.0, TILTS)
    tilted = np.stack(
        [_tilted(values, seen, tilt_of(c), causal, len(queries.q)) for c in between.tolist()]
    )
    own = tilted[-1].diagonal().copy()
    if dropout:
        # Only where a token meets itself in both factors does dropout count: E[m^2] = 1 / (1 - p).
        own += dropout / (1 - dropout) * _met(values, tilt_of(1.0), causal, len(queries.q))
    place = (correlation - between[0]) / (between[1] - between[0])
    low = np.clip(place.astype(int), 0, TILTS - 2)
    rows, columns = np.indices(correlation.shape)
    part = place - low
    covariance = (1 - part) * tilted[low, rows, columns] + part * tilted[low + 1, rows, columns]
    return Kernel(own, covariance, queries.tokens_per_group)


def effective(logit_variance: float, num_tokens: int) -> float:
    """The a at which e^a / (n + e^a - 1), to which `attended` comes for n unlike tokens, is the
    share P = E[sum_u p_u^2] that one of n independent Gaussian logits really takes:

        P = n int_0^inf s E[w^2 e^(-s w)] E[e^(-s w)]^(n - 1) ds,   w = e^l
    """
    at, found = _effective_table(num_tokens)
    return float(np.interp(logit_variance, at, found))


@lru_cache(maxsize=256)
def _effective_table(num_tokens: int) -> tuple[Vector, Vector]:
    variances = np.concatenate([[0.0], np.geomspace(0.05, 200.0, 40)])
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    effective_variances = [0.0]
    for variance in variances[1:]:
        logits = math.sqrt(variance) * nodes
        # s between where even the largest and where even the smallest weight counts.
        y = np.linspace(-logits.max() - math.log(num_tokens) - 10, 6 - logits.min(), 600)
        scaled = np.minimum(y[:, None] + logits, 50.0)
        decayed = np.exp(-np.minimum(np.exp(scaled), 700.0))
        squared = np.exp(2 * scaled) * decayed
        inside = num_tokens * (squared @ weights) * (decayed @ weights) ** (num_tokens - 1)
        share = float(np.clip(inside.sum() * (y[1] - y[0]), 1 / num_tokens, 1 - 1e-9))
        effective_variances.append(math.log(share * (num_tokens - 1) / (1 - share)))
    return variances, np.maximum.accumulate(np.array(effective_variances))


def _sums(of: Matrix, causal: bool, num_queries: int) -> Matrix:
    """For each pair of queries, the sum over the pairs of tokens that they see."""
    if causal:
        return of.cumsum(0).cumsum(1)
    return np.full((num_queries, num_queries), of.sum())


def _tilted(
    values: Kernel, correlation: Matrix, a: float, causal: bool, num_queries: int
) -> Matrix:
    weight = np.exp(a * correlation)
    mean = weight * values.K
    # A token meets itself once in n^2 pairs of its group.
    n = values.tokens_per_group
    diagonal = np.arange(len(values.q))
    own = np.exp(a)
    mean[diagonal, diagonal] += (own * values.q - mean[diagonal, diagonal]) / n
    weight[diagonal, diagonal] += (own - weight[diagonal, diagonal]) / n
    return _sums(mean, causal, num_queries) / _sums(weight, causal, num_queries)


def _met(values: Kernel, a: float, causal: bool, num_queries: int) -> Vector:
    """sum_u E[p_tu^2] q_u."""
    weight = np.exp(a * values.correlation)
    n = values.tokens_per_group
    diagonal = np.arange(len(values.q))
    weight[diagonal, diagonal] += (np.exp(a) - weight[diagonal, diagonal]) / n
    total = _sums(weight, causal, num_queries).diagonal()
    own = np.exp(a) * values.q / n
    met: Vector = (own.cumsum() if causal else np.full(num_queries, own.sum())) / total
    return met


def activated(hidden: Kernel, activation: Activation) -> tuple[Kernel, float]:
    """Behind the activation, second moments in place of variances, and the square of its mean."""
    std = math.sqrt(float(hidden.q.mean()))
    c = hidden.correlation
    if activation is Activation.RELU:
        angle = np.arccos(c)
        kappa = (np.sin(angle) + (np.pi - angle) * c) / (2 * np.pi)
        root = np.sqrt(np.outer(hidden.q, hidden.q))
        mean_squared = float(hidden.q.mean()) / (2 * np.pi)
        return Kernel(hidden.q / 2, root * kappa, hidden.tokens_per_group), mean_squared
    function = _gelu if activation is Activation.GELU else _silu
    powers = _hermite(function, round(std, 6))
    second = float(powers.sum())
    K: Matrix = np.asarray(np.polynomial.polynomial.polyval(c, powers), dtype=np.float64)
    q = np.full_like(hidden.q, second)
    if activation is Activation.SWIGLU:
        # silu(gate) times an input of the same kernel, independent of it.
        return Kernel(q * hidden.q, K * hidden.K, hidden.tokens_per_group), 0.0
    return Kernel(q, K, hidden.tokens_per_group), float(powers[0])


@cache
def _hermite(function: Callable[[Vector], Vector], std: float) -> Vector:
    """E[phi(x) phi(y)] as powers of the correlation of two Gaussians with this deviation: the
    squares of phi's Hermite coefficients; the last takes what is left of E[phi(x)^2]."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    values = function(std * nodes)
    powers = np.zeros(HERMITE_TERMS)
    norm = 1.0
    for k in range(HERMITE_TERMS - 1):
        unit = np.zeros(k + 1)
        unit[k] = 1.0
        polynomial = np.polynomial.hermite_e.hermeval(nodes, unit)
        powers[k] = (weights @ (values * polynomial)) ** 2 / norm
        norm *= k + 1
    powers[-1] = max(0.0, float(weights @ values**2) - powers.sum())
    return powers


_erf = np.vectorize(math.erf)


def _gelu(x: Vector) -> Vector:
    gated: Vector = x * (1 + _erf(x / math.sqrt(2))) / 2
    return gated


def _silu(x: Vector) -> Vector:
    gated: Vector = x / (1 + np.exp(-x))
    return gated

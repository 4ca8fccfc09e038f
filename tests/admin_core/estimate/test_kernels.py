import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from admin_core.estimate.kernels import Kernel, activated, attended, effective
from admin_core.spec import Activation, Norm

RANDOM = np.random.default_rng(0)
TOKENS = 12


def correlated(num_features: int, c: float) -> NDArray[np.float64]:
    """Tokens of Gaussian features, each two of which have correlation c."""
    common = RANDOM.standard_normal((1, num_features))
    own = RANDOM.standard_normal((TOKENS, num_features))
    return math.sqrt(c) * common + math.sqrt(1 - c) * own


def kernel(c: float) -> Kernel:
    return Kernel(np.ones(TOKENS), np.full((TOKENS, TOKENS), c), 1.0)


@pytest.mark.parametrize("activation", list(Activation))
def test_an_activation_is_what_sampling_gives(activation: Activation) -> None:
    x, y = correlated(40_000, 0.4), correlated(40_000, 0.4)
    if activation is Activation.RELU:
        h = np.maximum(x, 0)
    elif activation is Activation.GELU:
        h = F.gelu(torch.from_numpy(x)).numpy()
    else:
        h = F.silu(torch.from_numpy(x)).numpy() * y
    found, _ = activated(kernel(0.4), activation)
    assert found.q.mean() == pytest.approx((h**2).mean(), rel=0.05)
    products = h @ h.T / h.shape[1]
    off = ~np.eye(TOKENS, dtype=bool)
    assert found.K[off].mean() == pytest.approx(products[off].mean(), rel=0.05)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_what_sampling_gives(causal: bool) -> None:
    d, logit_variance = 400, 0.5
    x = correlated(d, 0.3)
    totals = np.zeros((TOKENS, TOKENS))
    for _ in range(60):
        matrix = RANDOM.standard_normal((d, d)) * math.sqrt(logit_variance) / d
        logits = x @ matrix @ x.T
        if causal:
            logits[np.triu_indices(TOKENS, 1)] = -np.inf
        p = np.exp(logits)
        p /= p.sum(1, keepdims=True)
        totals += (p @ x) @ (p @ x).T / d / 60
    own = Kernel((x**2).mean(1), x @ x.T / d, 1.0)
    found = attended(own, own, logit_variance=logit_variance, causal=causal, dropout=0.0)
    assert found.q == pytest.approx(totals.diagonal(), rel=0.15)
    off = np.triu_indices(TOKENS, 1)
    assert found.K[off].mean() == pytest.approx(totals[off].mean(), rel=0.1)


@pytest.mark.parametrize("logit_variance", [0.3, 4.0])
def test_a_few_of_independent_logits_take_the_weight_that_sampling_says(
    logit_variance: float,
) -> None:
    n = 20
    w = np.exp(math.sqrt(logit_variance) * RANDOM.standard_normal((20_000, n)))
    p = w / w.sum(1, keepdims=True)
    tilted = math.exp(effective(logit_variance, n))
    assert tilted / (n + tilted - 1) == pytest.approx((p**2).sum(1).mean(), rel=0.03)


def test_a_group_of_alike_tokens_stands_for_as_many_tokens() -> None:
    one = attended(kernel(0.3), kernel(0.3), logit_variance=0.5, causal=False, dropout=0.1)
    halved = Kernel(np.ones(TOKENS // 2), np.full((TOKENS // 2, TOKENS // 2), 0.3), 2.0)
    grouped = attended(halved, halved, logit_variance=0.5, causal=False, dropout=0.1)
    assert grouped.q[0] == pytest.approx(one.q[0])
    assert grouped.K[0, 1] == pytest.approx(one.K[0, 1])


def test_only_layer_norm_takes_the_mean_away() -> None:
    shifted = Kernel(np.full(2, 1.25), np.full((2, 2), 0.25), 1.0, np.full(2, 0.5))
    assert shifted.normed(Norm.LAYER_NORM).K[0, 1] == pytest.approx(0.0)
    assert shifted.normed(Norm.RMS_NORM).K[0, 1] == pytest.approx(0.2)
    assert shifted.variance == pytest.approx(1.0)

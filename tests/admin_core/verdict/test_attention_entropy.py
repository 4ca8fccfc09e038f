import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from admin_core.sources import source_of
from admin_core.verdict.attention_entropy import AttentionWatch, entropy_share
from tests.admin_core.verdict.test_probe import CPU, run_spec

SHAPE = 2, 3, 5, 8
"""Batch, heads, places, features of a head."""


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


QUERY, KEY, VALUE = (drawn(*SHAPE, seed=seed) for seed in range(3))


def one_query_at_a_time(logits: Tensor) -> float:
    """The mean of H_q / log n_q, for logits that are -inf where a key is hidden."""
    shares = []
    for row in logits.flatten(0, -2):
        seen = [math.exp(float(x)) for x in row if x > -math.inf]
        if len(seen) > 1:
            weights = [x / sum(seen) for x in seen]
            shares.append(-sum(w * math.log(w) for w in weights) / math.log(len(seen)))
    return sum(shares) / len(shares)


class TestTheEntropy:
    def test_is_the_mean_over_queries_of_its_share_of_what_it_could_be(self) -> None:
        logits = drawn(2, 2, 4, 6)
        assert entropy_share(logits) == pytest.approx(one_query_at_a_time(logits))

    def test_is_one_where_all_keys_weigh_the_same(self) -> None:
        assert entropy_share(torch.zeros(1, 1, 3, 7)) == pytest.approx(1)

    def test_is_zero_where_one_key_has_all_the_weight(self) -> None:
        assert entropy_share(1e3 * torch.eye(4)[None, None]) == pytest.approx(0)

    def test_leaves_out_queries_that_see_one_key_and_is_unknown_where_all_do(self) -> None:
        hidden = torch.full((1, 1, 3, 3), -torch.inf)
        assert entropy_share(hidden + torch.diag_embed(torch.full((3,), torch.inf))) is None
        both = torch.tensor([[0.0, -math.inf, -math.inf], [0.0, 0.0, -math.inf]])[None, None]
        assert entropy_share(both) == pytest.approx(1)


class TestTheWatch:
    @pytest.mark.parametrize("mask", ["none", "causal", "boolean", "added"])
    def test_sees_the_logits_of_scaled_dot_product_attention(self, mask: str) -> None:
        logits = QUERY @ KEY.mT / math.sqrt(SHAPE[-1])
        earlier = torch.ones(5, 5, dtype=torch.bool).tril()
        added = torch.zeros(5, 5).masked_fill(~earlier, -torch.inf)
        ways: dict[str, dict[str, Any]] = {
            "none": {},
            "causal": {"is_causal": True},
            "boolean": {"attn_mask": earlier},
            "added": {"attn_mask": added},
        }
        arguments = ways[mask]
        expected = logits if mask == "none" else logits + added
        with AttentionWatch() as watch:
            seen = F.scaled_dot_product_attention(QUERY, KEY, VALUE, **arguments)
        assert watch.least_entropy == pytest.approx(one_query_at_a_time(expected))
        assert torch.equal(seen, F.scaled_dot_product_attention(QUERY, KEY, VALUE, **arguments))

    def test_sees_keys_that_several_heads_share(self) -> None:
        with AttentionWatch() as watch:
            F.scaled_dot_product_attention(QUERY, KEY[:, :1], VALUE[:, :1], enable_gqa=True)
        expected = one_query_at_a_time(QUERY @ KEY[:, :1].mT / math.sqrt(SHAPE[-1]))
        assert watch.least_entropy == pytest.approx(expected)

    @pytest.mark.parametrize("call", [F.softmax, torch.softmax, Tensor.softmax])
    def test_sees_an_attention_that_is_written_out(self, call: Callable[..., Tensor]) -> None:
        logits = drawn(2, 2, 4, 6)
        with AttentionWatch() as watch:
            call(logits, -1)
            F.softmax(drawn(3, 4), dim=-1)
        assert watch.least_entropy == pytest.approx(one_query_at_a_time(logits))

    def test_tells_the_least_of_all_attentions(self) -> None:
        sharp, even = 10 * drawn(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
        with AttentionWatch() as watch:
            for logits in (even, sharp, even):
                F.softmax(logits, dim=-1)
        assert watch.least_entropy == pytest.approx(one_query_at_a_time(sharp), abs=1e-6)

    def test_tells_nothing_where_there_was_no_attention(self) -> None:
        with AttentionWatch() as watch:
            F.relu(QUERY)
        assert watch.least_entropy is None

    def test_sees_each_attention_of_a_model(self) -> None:
        run = run_spec(layers=3)
        source = source_of(run, CPU)
        model = source.build(0)
        with torch.no_grad(), AttentionWatch() as watch:
            model(target=torch.zeros(2, 8, dtype=torch.long))
        assert len(watch._entropies) == 3


def test_what_becomes_of_the_tensors_after_the_pass_does_not_matter() -> None:
    logits, query = drawn(2, 2, 4, 6), QUERY.clone()
    with AttentionWatch() as called:
        F.scaled_dot_product_attention(query, KEY, VALUE)
    with AttentionWatch() as softmaxed:
        torch.softmax(logits, -1)
    before = called.least_entropy, softmaxed.least_entropy
    query.zero_()
    logits.zero_()
    assert (called.least_entropy, softmaxed.least_entropy) == before
    assert None not in before

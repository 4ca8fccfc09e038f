import math

import pytest
import torch
from torch import Tensor

from admin_core.analysis import attention_logits
from admin_core.analysis.attention_logits import LogitRange, logit_range

BATCH, HEADS, SEQ, D_HEAD = 3, 4, 5, 6


def random(*shape: int) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def slow(
    queries: Tensor, keys: Tensor, visible: Tensor
) -> tuple[list[float], list[float], list[float]]:
    """Largest logit, entropy and relative entropy per head, a pair of tokens at a time.

    Args:
        visible: batch seq source.
    """
    largest, entropies, relatives = [], [], []
    group = queries.shape[1] // keys.shape[1]
    for head in range(queries.shape[1]):
        logits_seen, entropy_seen, relative_seen = [], [], []
        for b in range(len(queries)):
            for t in range(queries.shape[2]):
                logits = [
                    float(queries[b, head, t].double() @ keys[b, head // group, s].double())
                    / math.sqrt(D_HEAD)
                    for s in range(keys.shape[2])
                    if visible[b, t, s]
                ]
                if not logits:
                    continue
                logits_seen += [abs(logit) for logit in logits]
                total = math.fsum(math.exp(logit) for logit in logits)
                p = [math.exp(logit) / total for logit in logits]
                entropy = -math.fsum(share * math.log(share) for share in p)
                entropy_seen.append(entropy)
                if len(logits) > 1:
                    relative_seen.append(entropy / math.log(len(logits)))
        largest.append(max(logits_seen))
        entropies.append(math.fsum(entropy_seen) / len(entropy_seen))
        relatives.append(math.fsum(relative_seen) / len(relative_seen))
    return largest, entropies, relatives


def agree(found: LogitRange, expected: tuple[list[float], list[float], list[float]]) -> None:
    largest, entropy, relative = expected
    assert found.largest.tolist() == pytest.approx(largest, rel=1e-5)
    assert found.entropy.tolist() == pytest.approx(entropy, rel=1e-5)
    assert found.relative_entropy is not None
    assert found.relative_entropy.tolist() == pytest.approx(relative, rel=1e-5)


@pytest.mark.parametrize("at_a_time", [1, 2 * HEADS * SEQ, 2**22])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_a_causal_attention_agrees_with_the_slow_way_however_it_is_cut(
    kv_heads: int, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_logits, "MAX_LOGITS", at_a_time)
    queries, keys = random(BATCH, HEADS, SEQ, D_HEAD), random(BATCH, kv_heads, SEQ, D_HEAD)
    visible = torch.ones(BATCH, SEQ, SEQ).tril().bool()
    agree(logit_range(queries, keys, causal=True), slow(queries, keys, visible))


@pytest.mark.parametrize("at_a_time", [1, 2**22])
def test_padding_is_seen_neither_as_key_nor_as_query(
    at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_logits, "MAX_LOGITS", at_a_time)
    queries, keys = random(BATCH, HEADS, SEQ, D_HEAD), random(BATCH, HEADS, SEQ, D_HEAD)
    padding = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 0, 1, 1], [1, 1, 1, 1, 1]]).bool()
    token = ~padding
    found = logit_range(queries, keys, causal=False, padding=padding, padded_queries=True)
    agree(found, slow(queries, keys, token[:, None, :] & token[:, :, None]))


def test_cross_attention_looks_at_the_padding_of_its_source() -> None:
    queries, keys = random(2, HEADS, SEQ, D_HEAD), random(2, HEADS, 3, D_HEAD)
    padding = torch.tensor([[0, 0, 0], [0, 0, 1]]).bool()
    found = logit_range(queries, keys, causal=False, padding=padding)
    agree(found, slow(queries, keys, ~padding[:, None, :].expand(2, SEQ, 3)))


def test_even_attention_has_relative_entropy_one_and_a_single_key_zero() -> None:
    keys = torch.eye(SEQ, D_HEAD).expand(1, 1, -1, -1)
    even = logit_range(torch.zeros(1, 1, SEQ, D_HEAD), keys, causal=True)
    assert even.relative_entropy is not None
    assert even.relative_entropy.tolist() == pytest.approx([1.0])
    single = logit_range(1e4 * keys, keys, causal=False)
    assert single.relative_entropy is not None
    assert single.relative_entropy.tolist() == pytest.approx([0.0])
    assert single.entropy.tolist() == [0.0]


def test_one_token_has_no_relative_entropy() -> None:
    found = logit_range(random(2, 3, 1, D_HEAD), random(2, 3, 1, D_HEAD), causal=True)
    assert found.relative_entropy is None
    assert found.entropy.tolist() == [0.0, 0.0, 0.0]


def test_bfloat16_is_multiplied_in_float32() -> None:
    queries, keys = random(1, 1, SEQ, D_HEAD).bfloat16(), random(1, 1, SEQ, D_HEAD).bfloat16()
    agree(
        logit_range(queries, keys, causal=False),
        slow(queries, keys, torch.ones(1, SEQ, SEQ).bool()),
    )

import math

import pytest
import torch

from admin_core.data.batch import IGNORED, Batch
from admin_core.data.unigram import unigram_entropy


def of(*rows: list[int]) -> Batch:
    targets = torch.tensor(rows)
    return Batch(inputs={}, targets=targets)


def test_equally_frequent_tokens_have_the_logarithm_of_their_number() -> None:
    assert unigram_entropy([of([1, 2]), of([3, 4])]) == pytest.approx(math.log(4))


def test_one_token_alone_has_none() -> None:
    assert unigram_entropy([of([5, 5, 5])]) == 0


def test_ignored_targets_do_not_count() -> None:
    assert unigram_entropy([of([1, 2, IGNORED, IGNORED])]) == pytest.approx(math.log(2))


def test_is_what_the_best_constant_prediction_loses() -> None:
    tokens = [1, 1, 1, 2, 2, 3]
    shares = {1: 3 / 6, 2: 2 / 6, 3: 1 / 6}
    loss = -sum(math.log(shares[token]) for token in tokens) / len(tokens)
    assert unigram_entropy([of(tokens)]) == pytest.approx(loss)

import math

import pytest
import torch
from torch import Tensor

from admin_core.data.at_hand import told_at_hand
from admin_core.data.batch import IGNORED, Batch
from admin_core.data.batches import make_batch
from admin_core.spec import DataSpec, SyntheticData, SyntheticName, TextData
from tests.admin_core.specs import small


def of(tokens: Tensor, answers: Tensor) -> Batch:
    return Batch(inputs={"input_ids": tokens}, targets=answers)


def drawn(*shape: int, below: int = 4, seed: int = 0) -> Tensor:
    return torch.randint(below, shape, generator=torch.Generator().manual_seed(seed))


def made(architecture: str, data: DataSpec) -> list[Batch]:
    spec = small(architecture, vocab_size=300)
    return [
        make_batch(data, spec, batch_size=8, sequence_length=32, seed=0, step=step)
        for step in range(8)
    ]


def test_is_all_where_the_token_decides_the_answer() -> None:
    tokens = drawn(20, 50)
    assert told_at_hand([of(tokens, 3 - tokens)]) == pytest.approx(1)


def test_is_all_where_the_place_decides_it() -> None:
    answers = torch.arange(8).expand(100, 8)
    assert told_at_hand([of(drawn(100, 8), answers)]) == pytest.approx(1)


@pytest.mark.parametrize("count", [1024, 4096, 16_384])
def test_does_not_depend_on_how_many_answers_there_are(count: int) -> None:
    shape = count // 8, 8
    tokens, coin = drawn(*shape, below=100), drawn(*shape, below=2, seed=2)
    answers = torch.where(coin == 0, tokens, drawn(*shape, below=100, seed=1))
    assert told_at_hand([of(tokens, answers)]) == pytest.approx(0.38, abs=0.08)


def test_is_all_so_that_nothing_seems_wrong_where_answers_are_too_few_to_tell() -> None:
    assert told_at_hand([of(drawn(1, 32, below=10**4), drawn(1, 32, below=10**4, seed=1))]) == 1


def test_is_next_to_nothing_where_neither_does_though_few_answers_seem_to_tell_something() -> None:
    found = [told_at_hand([of(drawn(8, 16, seed=i), drawn(8, 16, seed=i + 99))]) for i in range(20)]
    assert sum(found) / 20 < 0.05


def test_is_the_mutual_information_over_the_entropy() -> None:
    # Half the answers are their token, the others are drawn.
    tokens, others, coin = (
        drawn(400, 100),
        drawn(400, 100, seed=1),
        drawn(400, 100, below=2, seed=2),
    )
    answers = torch.where(coin == 0, tokens, others)
    own, other = 5 / 8, 1 / 8
    told = math.log(4) + own * math.log(own) + 3 * other * math.log(other)
    assert told_at_hand([of(tokens, answers)]) == pytest.approx(told / math.log(4), rel=0.02)


def test_does_not_ask_where_no_answer_is() -> None:
    tokens = drawn(20, 50)
    answers = torch.where(drawn(20, 50, below=2, seed=3) == 0, tokens, IGNORED)
    assert told_at_hand([of(tokens, answers)]) > 0.98


def test_is_nothing_of_images() -> None:
    images = Batch(inputs={"pixel_values": torch.ones(2, 3, 8, 8)}, targets=torch.tensor([1, 2]))
    assert told_at_hand([images]) == 0


def test_of_text_is_a_good_part_where_it_is_read_on_and_nothing_where_it_is_masked() -> None:
    assert 0.1 < told_at_hand(made("decoder_only", TextData())) < 0.4
    assert 0.1 < told_at_hand(made("encoder_decoder", TextData())) < 0.4
    assert told_at_hand(made("encoder_only", TextData())) < 0.05


def test_of_a_task_that_wants_the_encoder_is_nothing() -> None:
    assert (
        told_at_hand(
            made("encoder_decoder", SyntheticData(kind="synthetic", name=SyntheticName.COPY))
        )
        < 0.05
    )

import pytest
import torch

from admin_core.data.batches import MASK, make_batch
from admin_core.data.denoising import cut_spans
from admin_core.data.span_lengths import SENTINELS, source_length, text_length
from admin_core.data.text import pydoc_text
from admin_core.seeds import stream
from admin_core.spec import TextData
from tests.admin_core.specs import small

TEXT = torch.arange(100, 200).repeat(4, 1)


def put_back(source: list[int], answer: list[int]) -> list[int]:
    """The text, from a source with sentinels and the answer that holds what they stand for."""
    spans: dict[int, list[int]] = {}
    for token in answer:
        if token in SENTINELS:
            spans[token] = []
        else:
            spans[list(spans)[-1]].append(token)
    return [t for token in source for t in (spans[token] if token in SENTINELS else [token])]


def test_the_answer_put_in_place_of_the_sentinels_gives_the_text_back() -> None:
    source, answer = cut_spans(TEXT, stream(0, "test"))
    for line, (read, written) in enumerate(zip(source.tolist(), answer.tolist(), strict=True)):
        assert put_back(read, written) == TEXT[line].tolist()


def test_about_15_percent_is_cut_in_spans_of_three() -> None:
    source, answer = cut_spans(TEXT, stream(0, "test"))
    spans = sum(token in SENTINELS for token in source[0].tolist())
    assert len(answer[0]) - spans - 1 == 15
    assert spans == 5


def test_sentinels_come_in_order_and_one_more_ends_the_answer() -> None:
    source, answer = cut_spans(TEXT, stream(0, "test"))
    assert [t for t in source[0].tolist() if t < 100] == list(SENTINELS[:5])
    assert [t for t in answer[0].tolist() if t < 100] == list(SENTINELS[:6])
    assert answer[0, -1] == SENTINELS[5]


def test_spans_lie_elsewhere_in_each_line() -> None:
    source, _ = cut_spans(TEXT, stream(0, "test"))
    assert len({tuple(line) for line in source.tolist()}) == 4


def test_a_long_text_has_longer_spans_once_sentinels_run_out() -> None:
    text = torch.arange(100, 10_100)[None]
    source, answer = cut_spans(text, stream(0, "test"))
    assert put_back(source[0].tolist(), answer[0].tolist()) == text[0].tolist()


@pytest.mark.parametrize("wanted", [2, 3, 10, 64, 511, 5_000])
def test_a_source_can_have_any_length(wanted: int) -> None:
    assert source_length(text_length(wanted)) == wanted


def test_no_text_holds_a_sentinel() -> None:
    assert not set(SENTINELS) & set(pydoc_text())


def test_an_encoder_reads_the_source_and_a_decoder_writes_the_answer() -> None:
    data = TextData(objective="denoising")
    batch = make_batch(data, small(), batch_size=2, sequence_length=32, seed=0)
    source, target = batch.inputs["source"], batch.inputs["target"]
    assert source.shape == (2, 32)
    assert (target[:, 0] == MASK).all()
    torch.testing.assert_close(target[:, 1:], batch.targets[:, :-1])
    for read, written in zip(source.tolist(), batch.targets.tolist(), strict=True):
        assert bytes(put_back(read, written)) in pydoc_text()

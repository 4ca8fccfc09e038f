import pytest
import torch
from torch import Tensor

from admin_core import blocks
from admin_core.blocks import Drawing, draw_in_blocks
from admin_core.seeds import stream


def uniform(block: Tensor, generator: torch.Generator) -> None:
    block.uniform_(generator=generator)


def drawn(rows: int, columns: int) -> Tensor:
    matrix = torch.zeros(rows, columns)
    draw_in_blocks([Drawing(matrix=matrix, seed=0, purpose="test", draw=uniform)])
    return matrix


def test_a_small_matrix_is_drawn_from_one_stream() -> None:
    assert torch.equal(drawn(3, 5), torch.empty(3, 5).uniform_(generator=stream(0, "test")))


def test_the_numbers_do_not_depend_on_how_many_threads_draw_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 10)
    monkeypatch.setattr(blocks, "FEW", 0)
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(drawn(7, 5))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert len(set(found[0].flatten().tolist())) == 35


def test_the_first_block_is_that_of_a_small_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drawn(2, 5)
    monkeypatch.setattr(blocks, "BLOCK", 10)
    assert torch.equal(drawn(7, 5)[:2], whole)


def test_only_blocks_with_a_row_that_is_read_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 10)
    whole, part = drawn(8, 5), torch.zeros(8, 5)
    draw_in_blocks([Drawing(matrix=part, seed=0, purpose="test", draw=uniform, rows=[5])])
    assert torch.equal(part[4:6], whole[4:6])
    assert part[:4].count_nonzero() == part[6:].count_nonzero() == 0


def test_a_row_longer_than_a_block_is_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 3)
    assert len(set(drawn(4, 5).flatten().tolist())) == 20


def test_what_a_draw_raises_comes_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(block: Tensor, generator: torch.Generator) -> None:
        raise RuntimeError("no numbers today")

    monkeypatch.setattr(blocks, "FEW", 0)
    monkeypatch.setattr(blocks, "BLOCK", 10)
    with pytest.raises(RuntimeError, match="today"):
        draw_in_blocks([Drawing(matrix=torch.zeros(8, 5), seed=0, purpose="test", draw=fail)])

"""Matrices of random numbers, drawn in blocks by several threads.

A generator is a sequence, and one core draws a quarter of a billion numbers a second from it.
Several matrices are therefore drawn side by side, and one of more than `BLOCK` numbers is cut into
blocks of rows, each with a stream of its own: the numbers depend on the seed and the purpose, and
not on how many threads there are. The first block's stream is the one that a small matrix is drawn
from as a whole.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from admin_core.seeds import stream

BLOCK = 2**24
"""Numbers of one block, 64 MiB in float32; a row longer than this is a block by itself."""

FEW = 2**20
"""Numbers that are drawn sooner by one thread than they are handed to several."""

Draw = Callable[[Tensor, torch.Generator], object]
"""Changes one block in place, with the numbers of one stream. Must not wait for another draw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One matrix, and how its numbers are drawn."""

    matrix: Tensor
    seed: int
    purpose: str
    draw: Draw
    rows: Collection[int] | None = None
    """Those that will be read, where it is not all of them; no other block is drawn."""


def draw_in_blocks(drawings: Sequence[Drawing]) -> None:
    """Draw each of these matrices, in place."""
    blocks = [block for drawing in drawings for block in _blocks(drawing)]
    if len(blocks) == 1 or sum(rows.numel() for _, _, rows in blocks) < FEW:
        for block in blocks:
            _draw(*block)
        return
    # Each result is asked for, so that what one raises comes up here.
    for _ in _threads(torch.get_num_threads()).map(lambda block: _draw(*block), blocks):
        pass


def _draw(drawing: Drawing, number: int, rows: Tensor) -> None:
    purpose = drawing.purpose if number == 0 else f"{drawing.purpose}.{number}"
    drawing.draw(rows, stream(drawing.seed, purpose))


def _blocks(drawing: Drawing) -> Iterator[tuple[Drawing, int, Tensor]]:
    """Number and rows of each block."""
    # Threads have no say in whether gradients are recorded.
    matrix = drawing.matrix.detach()
    count = len(matrix)
    per_block = max(1, BLOCK // max(1, matrix[0].numel())) if count else 1
    for number, start in enumerate(range(0, count, per_block)):
        stop = min(start + per_block, count)
        if drawing.rows is None or any(start <= row < stop for row in drawing.rows):
            yield drawing, number, matrix[start:stop]


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="draw")

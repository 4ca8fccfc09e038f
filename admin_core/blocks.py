"""Large matrices of random numbers, drawn in blocks by several threads.

A generator is a sequence, and one core draws a quarter of a billion numbers a second from it. A
matrix of more than `BLOCK` numbers is therefore cut into blocks of rows, each with a stream of its
own: the numbers depend on the seed and the purpose, and not on how many threads there are. The
first block's stream is the one that a small matrix is drawn from as a whole.
"""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

from admin_core.seeds import stream

BLOCK = 2**24
"""Numbers of one block, 64 MiB in float32; a row longer than this is a block by itself."""

Draw = Callable[[Tensor, torch.Generator], object]
"""Changes one block in place, with the numbers of one stream. Must not wait for another draw."""


def draw_in_blocks(
    matrix: Tensor, seed: int, purpose: str, draw: Draw, *, rows: Collection[int] | None = None
) -> None:
    """Call `draw` for each block of `matrix`.

    Args:
        rows: those that will be read, where it is not all of them; no other block is drawn.
    """
    # Threads do not share a block without gradients.
    matrix = matrix.detach()
    blocks = [
        (matrix[start:stop], stream(seed, purpose if number == 0 else f"{purpose}.{number}"))
        for number, start, stop in _blocks(matrix)
        if rows is None or any(start <= row < stop for row in rows)
    ]
    if len(blocks) == 1:
        draw(*blocks[0])
        return
    # Each result is asked for, so that what one raises comes up here.
    for _ in _threads(torch.get_num_threads()).map(lambda block: draw(*block), blocks):
        pass


def _blocks(matrix: Tensor) -> Iterator[tuple[int, int, int]]:
    """Number, first row and row after the last of each block."""
    count = len(matrix)
    per_block = max(1, BLOCK // max(1, matrix[0].numel())) if count else 1
    for number, start in enumerate(range(0, count, per_block)):
        yield number, start, min(start + per_block, count)


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="draw")

"""The batches of one run, by their number: what it trains on and what it is validated on."""

import itertools
from collections.abc import Iterator

from admin_core.data.batch import Batch
from admin_core.data.text import Split
from admin_core.data.unigram import unigram_entropy
from admin_core.race_spec import RunSpec
from admin_core.sources import Source

UNIGRAM_TOKENS = 2**17
"""Targets that token frequencies are counted over, or all that the run trains on if fewer."""


class RunBatches:
    """The run's data; the seed decides it."""

    def __init__(self, run: RunSpec, seed: int, source: Source) -> None:
        self.run, self.seed, self.source = run, seed, source

    def training(self, number: int) -> Batch:
        return self.source.batch(self.seed, number, Split.TRAINING)

    def of_step(self, step: int) -> list[Batch]:
        """As many as are accumulated; the first step has number 0."""
        count = self.run.training.accumulation
        return [self.training(number) for number in range((step - 1) * count, step * count)]

    def held_out(self) -> Iterator[Batch]:
        for number in range(self.run.validation.batches):
            yield self.source.batch(self.seed, number, Split.HELD_OUT)

    def unigram_loss(self) -> float | None:
        """Of a model that knows nothing but how frequent each answer is; None where answers are not
        counted, as the model takes its loss itself."""
        first = self.training(0)
        if not first.has_targets:
            return None
        wanted = -(-UNIGRAM_TOKENS // first.num_answers)
        count = min(wanted, self.run.training.steps * self.run.training.accumulation)
        rest = (self.training(number) for number in range(1, count))
        return unigram_entropy(itertools.chain([first], rest))

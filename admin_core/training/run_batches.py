"""The batches of one run, by their number: what it trains on and what it is validated on."""

import itertools
from collections.abc import Iterator

import torch

from admin_core.data.batch import Batch
from admin_core.data.batches import make_batch
from admin_core.data.dataset import Dataset
from admin_core.data.dataset_fit import check_fit
from admin_core.data.text import Split
from admin_core.data.unigram import unigram_entropy
from admin_core.race_spec import RunSpec

UNIGRAM_TOKENS = 2**17
"""Targets that token frequencies are counted over, or all that the run trains on if fewer."""


class RunBatches:
    """The run's data; the seed decides it."""

    def __init__(
        self, run: RunSpec, seed: int, device: torch.device, dataset: Dataset | None = None
    ) -> None:
        """`dataset` is what the run's `data` stands for, if that is an upload or of the hub.

        Raises:
            InvalidSpecError: the run's model or sequence length does not fit the data set.
        """
        if dataset is not None:
            check_fit(run, dataset.facts, held_out=True)
        self.run, self.seed, self.device, self.dataset = run, seed, device, dataset

    def training(self, number: int) -> Batch:
        return self._draw(number, Split.TRAINING).to(self.device)

    def of_step(self, step: int) -> list[Batch]:
        """As many as are accumulated; the first step has number 0."""
        count = self.run.training.accumulation
        return [self.training(number) for number in range((step - 1) * count, step * count)]

    def held_out(self) -> Iterator[Batch]:
        for number in range(self.run.validation.batches):
            yield self._draw(number, Split.HELD_OUT).to(self.device)

    def unigram_loss(self) -> float:
        first = self._draw(0, Split.TRAINING)
        wanted = -(-UNIGRAM_TOKENS // first.targets.numel())
        count = min(wanted, self.run.training.steps * self.run.training.accumulation)
        rest = (self._draw(number, Split.TRAINING) for number in range(1, count))
        return unigram_entropy(itertools.chain([first], rest), vocabulary=self.run.model.vocab_size)

    def _draw(self, number: int, split: Split) -> Batch:
        return make_batch(
            self.run.data,
            self.run.model,
            batch_size=self.run.training.batch_size,
            sequence_length=self.run.training.sequence_length,
            seed=self.seed,
            step=number,
            split=split,
            dataset=self.dataset,
        )

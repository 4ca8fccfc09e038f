"""The built-in Transformer and the text that it reads."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from admin_core.analysis.omega import fill_omegas
from admin_core.applicability import Applicability, applicability
from admin_core.comparators import comparators
from admin_core.data.batch import Batch
from admin_core.data.batches import make_batch
from admin_core.data.dataset import Dataset
from admin_core.data.dataset_fit import check_fit
from admin_core.data.sha256 import data_sha256
from admin_core.data.text import Split
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.report import Comparators, StackName
from admin_core.residual import ResidualBranch, residual_branches
from admin_core.sources.source import Source
from admin_core.spec import Scheme, Subject, TransformerSpec


class BuiltIn(Source):
    """From a Transformer's spec."""

    def __init__(
        self,
        subject: Subject,
        model: TransformerSpec,
        device: torch.device,
        dataset: Dataset | None = None,
    ) -> None:
        """`model` is the subject's; `dataset` is what its `data` stands for, if that is an upload
        or of the hub."""
        self.subject, self.model, self.device, self.dataset = subject, model, device, dataset

    def build(self, seed: int) -> Transformer:
        return build_transformer(self.model, seed=seed, device=self.device)

    def branches(self, model: nn.Module) -> Sequence[ResidualBranch]:
        return residual_branches(model)

    def batch(self, seed: int, step: int = 0, split: Split = Split.WHOLE) -> Batch:
        training = self.subject.training
        return make_batch(
            self.subject.data,
            self.model,
            batch_size=training.batch_size,
            sequence_length=training.sequence_length,
            seed=seed,
            step=step,
            split=split,
            dataset=self.dataset,
        ).to(self.device)

    def applicability(self, branches: Sequence[ResidualBranch]) -> Applicability:
        return applicability(self.model)

    def admin_stacks(self, branches: Sequence[ResidualBranch]) -> tuple[StackName, ...]:
        return tuple(s for s in self.model.layers if self.model.scheme_of(s) is Scheme.ADMIN)

    def take_omegas(self, omegas: Mapping[ResidualBranch, float]) -> None:
        fill_omegas(omegas)

    def comparators(self, branches: Sequence[ResidualBranch]) -> dict[StackName, Comparators]:
        return {stack: found for stack, found in comparators(self.model).items()}

    @property
    def data_sha256(self) -> str | None:
        return data_sha256(self.subject.data, self.dataset)

    def check_data(self, *, held_out: bool) -> None:
        if self.dataset is not None:
            check_fit(self.subject, self.dataset.facts, held_out=held_out)

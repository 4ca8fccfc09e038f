"""An architecture of the Transformers library, and inputs of the kind that it reads."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from transformers import PreTrainedModel

from admin_core.data.batch import Batch
from admin_core.data.dataset import Dataset
from admin_core.data.huggingface import HuggingFaceData
from admin_core.data.sha256 import data_sha256
from admin_core.data.text import Split
from admin_core.errors import InvalidSpecError
from admin_core.models.huggingface import build_huggingface, head_of, read_config
from admin_core.report import NormPlacement, StackName
from admin_core.residual import ResidualBranch
from admin_core.size import Limits
from admin_core.sources.discovered import DiscoveredSource
from admin_core.spec import HuggingFaceSpec, Scheme, Subject, TextData

_PLACEMENTS = {Scheme.POST_LN: NormPlacement.POST, Scheme.PRE_LN: NormPlacement.PRE}


class HuggingFace(DiscoveredSource):
    """From a config."""

    def __init__(
        self,
        subject: Subject,
        model: HuggingFaceSpec,
        device: torch.device,
        limits: Limits | None = None,
        dataset: Dataset | None = None,
    ) -> None:
        """`model` is the subject's; `dataset` is what its `data` stands for, if that is an upload
        or of the hub."""
        self.subject, self.model, self.device = subject, model, device
        self.limits, self.dataset = limits, dataset

    def build(self, seed: int) -> PreTrainedModel:
        return build_huggingface(self.model, seed=seed, device=self.device, limits=self.limits)

    def batch(self, seed: int, step: int = 0, split: Split = Split.WHOLE) -> Batch:
        return self._examples.batch(seed=seed, step=step, split=split).to(self.device)

    def admin_stacks(self, branches: Sequence[ResidualBranch]) -> tuple[StackName, ...]:
        scheme = self.model.scheme
        if scheme is None:
            return ()
        if scheme is Scheme.ADMIN:
            return self._stacks_for_omegas(branches)
        for branch in branches:
            if branch.norm_placement is not _PLACEMENTS[scheme]:
                raise InvalidSpecError(
                    "model.scheme",
                    f"is {scheme.value}, but at {branch.path} the norm stands "
                    f"'{branch.norm_placement.value}', and where norms stand in this architecture "
                    "is its library's choice; leave this field out",
                )
        return ()

    @property
    def data_sha256(self) -> str | None:
        examples = self._examples
        tokens_are_text = examples.reads_tokens and examples.tokens_are_bytes
        if self.dataset is None and not tokens_are_text:
            return None
        return data_sha256(self.subject.data, self.dataset)

    def check_data(self, *, held_out: bool) -> None:
        self._examples.check_dataset(held_out=held_out)

    def unavailable(self) -> Mapping[str, str]:
        wanted = isinstance(self.subject.data, TextData) and self._examples.reads_tokens
        if wanted and not self._examples.tokens_are_bytes:
            return {
                "data.text": "The vocabulary has fewer tokens than there are bytes: the batches "
                "hold tokens drawn uniformly."
            }
        return {}

    def _stacks_for_omegas(self, branches: Sequence[ResidualBranch]) -> tuple[StackName, ...]:
        found = self.applicability(branches)
        if not found.stacks:
            raise InvalidSpecError(
                "model.scheme",
                f"is admin, but there is no stack that takes omegas. {found.reason or ''} "
                "Leave this field out",
            )
        return found.stacks

    @cached_property
    def _examples(self) -> HuggingFaceData:
        config = read_config(self.model)
        return HuggingFaceData(
            config=config,
            head=head_of(config),
            data=self.subject.data,
            batch_size=self.subject.training.batch_size,
            sequence_length=self.subject.training.sequence_length,
            dataset=self.dataset,
        )

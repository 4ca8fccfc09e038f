"""An architecture of the Transformers library, and inputs of the kind that it reads."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from transformers import PreTrainedModel

from admin_core.data.batch import Batch
from admin_core.data.huggingface import HuggingFaceData
from admin_core.data.text import Split
from admin_core.errors import InvalidSpecError
from admin_core.models.huggingface import build_huggingface, head_of, read_config
from admin_core.report import NormPlacement, StackName
from admin_core.residual import ResidualBranch
from admin_core.size import Limits
from admin_core.sources.discovered import DiscoveredSource
from admin_core.spec import DataSpec, HuggingFaceSpec, Scheme, TextData, TrainingSpec

_PLACEMENTS = {Scheme.POST_LN: NormPlacement.POST, Scheme.PRE_LN: NormPlacement.PRE}


class HuggingFace(DiscoveredSource):
    """From a config."""

    def __init__(
        self,
        model: HuggingFaceSpec,
        data: DataSpec,
        training: TrainingSpec,
        device: torch.device,
        limits: Limits | None = None,
    ) -> None:
        self.model, self.data, self.training = model, data, training
        self.device, self.limits = device, limits

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
    def reads_text(self) -> bool:
        examples = self._examples
        tokens_are_text = examples.reads_tokens and examples.tokens_are_bytes
        return isinstance(self.data, TextData) and tokens_are_text

    def unavailable(self) -> Mapping[str, str]:
        wanted = isinstance(self.data, TextData) and self._examples.reads_tokens
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
            data=self.data,
            batch_size=self.training.batch_size,
            sequence_length=self.training.sequence_length,
        )

"""The source of what a request asks for."""

import torch

from admin_core.data.dataset import Dataset
from admin_core.size import Limits
from admin_core.sources.built_in import BuiltIn
from admin_core.sources.source import Source
from admin_core.spec import Subject, TransformerSpec


def source_of(
    subject: Subject,
    device: torch.device,
    limits: Limits | None = None,
    dataset: Dataset | None = None,
) -> Source:
    """Where the subject's models and batches come from.

    Args:
        limits: what a model may take; none by default, as the built-in one's size is known before.
        dataset: what the subject's `data` stands for, if that is an upload or of the hub.
    """
    model = subject.model
    if isinstance(model, TransformerSpec):
        return BuiltIn(subject, model, device, dataset)
    # The library takes a second to load, and most requests never need it.
    from admin_core.sources.huggingface import HuggingFace

    return HuggingFace(subject, model, device, limits, dataset)

"""Which data a report is about."""

from admin_core.data.dataset import Dataset
from admin_core.data.text import pydoc_sha256
from admin_core.spec import DataSpec, TextData


def data_sha256(data: DataSpec, dataset: Dataset | None) -> str | None:
    """Of the text or the data set's file; none for synthetic data."""
    if dataset is not None:
        return dataset.facts.sha256
    return pydoc_sha256() if isinstance(data, TextData) else None

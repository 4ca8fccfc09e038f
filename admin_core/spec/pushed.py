"""What was diagnosed elsewhere, in the words of whoever pushed the report."""

from typing import Annotated, Literal

from pydantic import Field

from admin_core.spec.parts import Part
from admin_core.spec.training import TrainingSpec


class PushedSpec(Part):
    """Stands where a request stands for a diagnosis that was made here."""

    kind: Literal["pushed"] = "pushed"
    model: Annotated[str, Field(min_length=1, max_length=200)]
    """What was diagnosed, such as ``package.model:build``; a label, which is never loaded."""
    training: TrainingSpec = TrainingSpec()
    """How it would be trained."""

"""What a request to verify a prescription holds."""

from typing import Annotated

from pydantic import Field

from admin_core.race_spec import BudgetSeconds, Seeds
from admin_core.spec import Count, Part, Whole


class Verification(Part):
    """A diagnosis whose prescription is to be raced against the model as it is."""

    diagnosis: Annotated[str, Field(min_length=1, max_length=100)]
    """Its id."""
    prescription: Annotated[Whole, Field(le=1_000)] = 0
    """Which of the verdict's, counted from 0."""
    seeds: Seeds = (0, 1, 2)
    """A list, or a number n for 0 to n - 1."""
    steps: Annotated[Count, Field(le=10**9)] | None = None
    """Of each run; the diagnosis's `training.steps` unless given. The warm-up stays as it is."""
    budget_seconds: BudgetSeconds | None = None
    """Of the whole race."""

"""By which convention omega is found, and in which passes the branches are profiled."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from admin_core.spec.parts import Count, Part


class OutputChangeScale(StrEnum):
    """How the output change of a stack is to grow with its n sub-layers."""

    LOGARITHMIC = "O(log n)"
    CONSTANT = "O(1)"
    LINEAR = "O(n)"


class FirstValue(StrEnum):
    """The first omega of the `paper` convention, whose formula leaves it an empty sum."""

    EMBEDDING_VARIANCE = "embedding_variance"
    """The embedding counts as a branch before the first: omega_i^2 = Var[x_0] + sum_{j<i} Var[f_j],
    so that omega_1^2 = Var[x_0]."""
    ONE = "one"
    """omega_1 = 1, the others by the formula as it is printed."""


class Padding(StrEnum):
    """What happens to positions that hold no token."""

    COUNTED = "counted"
    """They enter each variance like all others, as in the authors' released code."""
    MASKED = "masked"
    """They enter no variance."""


class OmegaPasses(Part):
    """The forward passes that the branches are profiled in."""

    batches: Annotated[Count, Field(le=1_000)] = 1
    """Batches to average over, each from its own stretch of the data."""
    seeds: Annotated[Count, Field(le=100)] = 1
    """Fresh models to average over: seed, seed + 1, and so on, each with its own weights, data and
    dropout."""
    padding: Padding = Padding.COUNTED
    dropout: bool = True
    """Whether dropout is active, as in training."""


class ClinicOmega(OmegaPasses):
    """The authors' released code: omega_1 = 1; each omega is applied in the pass that measures it,
    omega_{i+1}^2 = Var[omega_i x_{i-1}] + Var[f_i(x_{i-1})]."""

    convention: Literal["clinic"] = "clinic"


class PaperOmega(OmegaPasses):
    """The paper's text: a pass with every omega 1, then omega_i^2 = sum_{j<i} Var[f_j]."""

    convention: Literal["paper"]
    first_value: FirstValue
    """What omega_1 is, which the formula leaves open."""

    @field_validator("first_value", mode="before")
    @classmethod
    def _the_embedding_survives(cls, first_value: Any) -> Any:
        if first_value in (0, "0", "zero") and not isinstance(first_value, bool):
            raise PydanticCustomError(
                "first_value_zero",
                "omega_1 = 0, the empty sum, deletes the embedding from the shortcut; give "
                "embedding_variance or one",
            )
        return first_value


class ClosedFormOmega(OmegaPasses):
    """One omega for all n sub-layers of a stack, from n alone, as in the `admin-torch` package;
    the passes only measure the branches under it."""

    convention: Literal["closed_form"]
    scale: OutputChangeScale
    """O(log n): omega^2 = (n + 1) / ln(n + 1) - 1; O(1): omega^2 = n; O(n): omega = 1."""


def _clinic_unless_named(omega: Any) -> Any:
    if isinstance(omega, Mapping) and "convention" not in omega:
        return {"convention": "clinic", **omega}
    return omega


OmegaSpec = Annotated[
    Annotated[ClinicOmega | PaperOmega | ClosedFormOmega, Field(discriminator="convention")],
    BeforeValidator(_clinic_unless_named),
]

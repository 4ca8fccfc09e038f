"""How the output change is measured."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from admin_core.spec.parts import Count, Part


class RandomStep(StrEnum):
    """What a random step on a weight is: its size times a sign, or times a standard Gaussian."""

    SIGN = "sign"
    GAUSSIAN = "gaussian"


class Perturbation(StrEnum):
    """A step of the parameters that is measured where it is asked for, beside the random sign and
    the optimizer's step, which always are."""

    GAUSSIAN = "gaussian"
    GRADIENT = "gradient"


class AmplificationSpec(Part):
    """How the output change is measured."""

    draws: Annotated[Count, Field(le=100)] = 3
    """Random steps to average over; each costs a forward pass."""
    also: tuple[Perturbation, ...] = ()
    """Further perturbations: Gaussian costs as many passes again, the gradient's sign one."""

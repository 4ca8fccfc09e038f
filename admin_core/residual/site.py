"""Where one sub-layer is found again in every pass."""

from dataclasses import dataclass

from admin_core.residual.trace import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A product whose result enters an addition."""

    address: Address
    stream: int
    """0 or 1: which operand is scaled by the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The calls that make up one shortcut addition."""

    sum: Address
    shortcut_position: int
    """0 or 1: which operand the shortcut is."""

    summed: Address | None
    """The addition in which this branch meets the branches beside it, where they are added up
    before the shortcut."""

    branch_position: int
    """0 or 1: which operand of `summed`, or else of `sum`, the branch is."""

    shortcut_scale: Scale | None
    branch_scale: Scale | None
    state: Address
    """What makes x_i: the norm after the addition, or the addition itself."""

"""Where Admin's omegas mean something, and why not elsewhere."""

from dataclasses import dataclass

from admin_core.report import StackName
from admin_core.spec import Scheme, Stack, TransformerSpec

TAKES_OMEGAS = frozenset({Scheme.POST_LN, Scheme.ADMIN})
"""The schemes x_i = LN(x_{i-1} + f_i), with or without an omega in place."""

UNNORMED = (
    "no norm follows the addition, so that its shortcut already carries the sum of all earlier "
    "branches, and each branch's share falls with depth without omegas"
)

_WHY_NOT = {
    Scheme.PRE_LN: UNNORMED,
    Scheme.SUB_LN: UNNORMED,
    Scheme.SANDWICH_LN: UNNORMED,
    Scheme.PERI_LN: UNNORMED,
    Scheme.DEEPNORM: "its shortcut has a scale already, DeepNorm's alpha",
    Scheme.REZERO: "its branches have gates already, which start at 0",
    Scheme.T_FIXUP: "its weights are scaled down already, and no norm follows the addition",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicability:
    """Which stacks of a model take omegas."""

    stacks: tuple[StackName, ...]
    """Those that do."""

    reason: str | None
    """Why the others do not; None where all do."""


PRETRAINED = Applicability(
    stacks=(),
    reason="The weights are trained: Admin chooses omegas for fresh random weights, and any omega "
    "other than 1 would change what a trained network computes.",
)
"""Of every model with given weights."""


def applicability(model: TransformerSpec, *, pretrained: bool = False) -> Applicability:
    """Whether omegas can be chosen for each stack of `model`.

    Args:
        pretrained: whether its weights are trained rather than fresh.
    """
    if pretrained:
        return PRETRAINED
    without = [stack for stack in model.layers if model.scheme_of(stack) not in TAKES_OMEGAS]
    return Applicability(
        stacks=tuple(stack for stack in model.layers if stack not in without),
        reason=" ".join(_sentence(stack, model.scheme_of(stack)) for stack in without) or None,
    )


def _sentence(stack: Stack, scheme: Scheme) -> str:
    return f"The {stack.value} is {scheme.value}: {_WHY_NOT[scheme]}."

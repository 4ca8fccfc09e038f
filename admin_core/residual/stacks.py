"""Which sub-layers stand in one stack, and what the stack is called.

Sub-layers are of one stack when their additions stand in the same list of layers and each
descends from one before: the stages of a hierarchical network are one stack, an encoder and a
decoder are two, and so are the two towers of a contrastive model.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from admin_core.report import Role
from admin_core.residual.additions import Shortcut
from admin_core.residual.operations import ATTENTION
from admin_core.residual.provenance import between, made_from, mixes
from admin_core.residual.roles import EXPONENTIALS, masks_of
from admin_core.residual.trace import Value
from admin_core.spec import Stack


@dataclass(slots=True, eq=False)
class FoundStack:
    """The sub-layers of one stack, in order."""

    container: tuple[str, ...]
    """Path of the list of layers, without the digits at its end."""

    shortcuts: list[Shortcut] = field(default_factory=list)


def find_stacks(shortcuts: Sequence[Shortcut]) -> list[FoundStack]:
    """The stacks in the order of their first sub-layers."""
    stacks: list[FoundStack] = []
    for shortcut in shortcuts:
        container = _container(shortcut)
        alike = [stack for stack in reversed(stacks) if stack.container == container]
        carrying = [stack for stack in alike if _carries_on(shortcut, stack.shortcuts[-1])]
        following = [stack for stack in alike if _follows(shortcut, stack.shortcuts[-1])]
        if not (carrying or following):
            stacks.append(FoundStack(container))
        ((carrying or following or stacks[-1:])[0]).shortcuts.append(shortcut)
    return stacks


def stack_names(stacks: Sequence[FoundStack], roles: Sequence[Sequence[Role]]) -> list[str]:
    """``encoder`` and ``decoder`` where there is one of the kind, else the path of the list of
    layers, such as ``vision_model.encoder``.

    Args:
        roles: of the sub-layers of each stack.
    """
    kinds = [
        Stack.DECODER if _is_decoder(stack, own) else Stack.ENCODER
        for stack, own in zip(stacks, roles, strict=True)
    ]
    names = [
        kind.value if kinds.count(kind) == 1 else _label(stack, kind)
        for stack, kind in zip(stacks, kinds, strict=True)
    ]
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
    return unique


def _container(shortcut: Shortcut) -> tuple[str, ...]:
    path = shortcut.sum.call.path if shortcut.sum.call is not None else ""
    parts: list[str] = []
    for part in path.split("."):
        if part.isdigit():
            return tuple(parts)
        parts.append(re.sub(r"\d+$", "", part))
    numbered = [i for i, part in enumerate(path.split(".")) if re.search(r"\d$", part)]
    return tuple(parts[: numbered[-1] + 1]) if numbered else ()


def _carries_on(shortcut: Shortcut, earlier: Shortcut) -> bool:
    """Whether the shortcut carries the sum before, through nothing but norms."""
    way = between(earlier.sum, shortcut.x)
    return shortcut.x in (earlier.x, earlier.sum) or (bool(way) and not mixes(way))


def _follows(shortcut: Shortcut, earlier: Shortcut) -> bool:
    return shortcut.x is earlier.x or bool(between(earlier.sum, shortcut.branch))


def _is_decoder(stack: FoundStack, roles: Sequence[Role]) -> bool:
    words = ".".join(stack.container)
    if Role.CROSS_ATTENTION in roles or "decoder" in words:
        return True
    return "encoder" not in words and any(
        _is_causal(value, role)
        for shortcut, role in zip(stack.shortcuts, roles, strict=True)
        for value in shortcut.region
    )


def _is_causal(value: Value, role: Role) -> bool:
    """Whether a token is kept from those behind it, as far as the code says it."""
    if role is Role.MIXER:
        return value.operation in EXPONENTIALS
    if value.operation in ATTENTION and (value.options.get("is_causal") is True):
        return True
    if value.operation in (*ATTENTION, "softmax") and any(_hides(v) for v in masks_of(value)):
        return True
    modules = (call.module for call in value.call.ancestors()) if value.call is not None else ()
    return any(getattr(module, "is_causal", None) is True for module in modules)


def _hides(mask: Value) -> bool:
    """Whether a mask was made by comparing positions one way."""
    made = {value.operation for value in made_from(mask)}
    return bool(made & {"tril", "triu", "le", "lt", "ge", "gt"}) and "abs" not in made


def _label(stack: FoundStack, kind: Stack) -> str:
    parts = stack.container[:-1] if len(stack.container) > 1 else stack.container
    return ".".join(parts) or kind.value

"""Admin in a network that nobody edited.

    x_i = N(omega_i * x_{i-1} + f_i(x_{i-1})),   omega_i in R^d_model, filled with one value

The norm module that follows an addition gets a parameter `omega` and is given

    omega * x + f = (x + f) + (omega - 1) * x

in place of x + f, where x is kept on its way to the addition. This holds for any omega, one per
feature, and any norm, epsilon included, up to the rounding of one addition; at omega = 1 it is the
network as it was, bit for bit. It is done with hooks, which compiled networks trace, autograd goes
through and copies of the network keep; the parameters stand in the state dict as
``NORM_PATH.omega`` and move and train with the others. A norm that serves several depths, as in a
network that shares its layers, holds a row for each.

Source: Liu et al., EMNLP 2020, arXiv:2004.08249.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

from admin_core.errors import OmegaNotApplicableError
from admin_core.report import NormPlacement
from admin_core.residual.discovered import OMEGA, DiscoveredBranch
from admin_core.residual.route import Place


def add_omega(total: Tensor, omega: Tensor, shortcut: Tensor) -> Tensor:
    """omega * x + f from x + f, in the format of x + f.

    Args:
        total: x + f.
        omega: one per feature, or one for all.
        shortcut: x; its tokens may be laid out otherwise.
    """
    if has_torch_function((total, omega, shortcut)):
        # One call to whoever watches the network, so that he finds its own calls where they were.
        return handle_torch_function(add_omega, (total, omega, shortcut), total, omega, shortcut)
    return (total + (omega - 1) * shortcut.reshape(total.shape)).to(total.dtype)


@torch.no_grad()
def apply_omega(
    branches: Sequence[DiscoveredBranch],
    omegas: Sequence[float | Tensor],
    *,
    trainable: bool = True,
) -> None:
    """Scale the shortcut of each branch by its omega, from the next forward pass on.

    What was applied before is replaced.

    Args:
        branches: Post-LN sub-layers of one network.
        omegas: for each, one value or one per feature.
        trainable: whether the omegas take gradients; fixed ones stand in the state dict too.

    Raises:
        OmegaNotApplicableError: a branch takes none; nothing was changed.
    """
    for branch in branches:
        obstacle = obstacle_to_omega(branch)
        if obstacle is not None:
            raise OmegaNotApplicableError(f"{branch.path}: {obstacle}")
    by_norm: dict[str, list[tuple[DiscoveredBranch, float | Tensor]]] = defaultdict(list)
    for branch, omega in zip(branches, omegas, strict=True):
        assert branch.norm_path is not None, "a branch with a route has a norm"
        by_norm[branch.norm_path].append((branch, omega))
    for model in dict.fromkeys(branch.network.model for branch in branches):
        remove_omega(model)
    for path, rows in by_norm.items():
        model = rows[0][0].network.model
        norm = model.get_submodule(path)
        values = _values(norm, rows)
        norm.register_parameter(OMEGA, nn.Parameter(values, requires_grad=trainable))
        _hook(model, norm, rows[0][0])


def remove_omega(model: nn.Module) -> None:
    """Take every omega out; the network is again what it was, bit for bit."""
    for module in model.modules():
        own = False
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for key in [key for key, hook in hooks.items() if isinstance(hook, _OmegaHook)]:
                own |= isinstance(hooks[key], _AddOmega)
                del hooks[key]
                module._forward_pre_hooks_with_kwargs.pop(key, None)
                module._forward_hooks_with_kwargs.pop(key, None)
        if own:
            del module._parameters[OMEGA]


def obstacle_to_omega(branch: DiscoveredBranch) -> str | None:
    """Why the branch takes no omega, as a sentence or two; None where it does."""
    if branch.norm_placement is not NormPlacement.POST:
        return (
            "Admin scales the shortcut of a Post-LN sub-layer, and here no norm follows the "
            f"addition (its norm placement is {branch.norm_placement.value})."
        )
    if branch.shortcut_factors or branch.branch_factors:
        return (
            "The network scales its shortcut or its branch already; take that out first, as two "
            "schemes at once undo each other."
        )
    if branch.route is None:
        return (
            "The norm after the addition is not a module that is given the sum itself, or the "
            "shortcut passes no module on its way; make the norm a module of its own."
        )
    return None


def _values(norm: nn.Module, rows: Sequence[tuple[DiscoveredBranch, float | Tensor]]) -> Tensor:
    """One row per depth that the norm serves; a vector where it serves one."""
    route = rows[0][0].route
    assert route is not None, "it was checked"
    like = next(norm.parameters(), torch.empty(0))
    values = like.new_ones(1 + max(branch.norm_number for branch, _ in rows), route.width)
    for branch, omega in rows:
        values[branch.norm_number] = torch.as_tensor(omega, dtype=values.dtype).to(values.device)
    return values[0] if len(values) == 1 else values


def _hook(model: nn.Module, norm: nn.Module, branch: DiscoveredBranch) -> None:
    route = branch.route
    assert route is not None, "it was checked"
    kept, depth = _Kept(), _Depth()
    source = model.get_submodule(route.source.path)
    if route.source.place is None:
        source.register_forward_hook(_KeepOutput(kept))
    else:
        source.register_forward_pre_hook(_KeepArgument(kept, route.source.place), with_kwargs=True)
    model.register_forward_pre_hook(_StartAgain(depth))
    norm.register_forward_pre_hook(_AddOmega(kept, depth, route.norm_place), with_kwargs=True)


class _OmegaHook:
    """What `remove_omega` looks for. Objects rather than functions, so that a copy of a network has
    hooks that know the copy."""


@dataclass(slots=True)
class _Kept:
    """x, between the module that it passes and the norm."""

    x: Tensor | None = None


@dataclass(slots=True)
class _Depth:
    """How often the norm was called in this pass."""

    calls: int = 0


@dataclass(slots=True)
class _KeepArgument(_OmegaHook):
    kept: _Kept
    place: Place

    def __call__(
        self, module: nn.Module, arguments: tuple[Any, ...], options: Mapping[str, Any]
    ) -> None:
        place = self.place
        self.kept.x = options[place] if isinstance(place, str) else arguments[place]


@dataclass(slots=True)
class _KeepOutput(_OmegaHook):
    kept: _Kept

    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
        self.kept.x = output


@dataclass(slots=True)
class _StartAgain(_OmegaHook):
    depth: _Depth

    def __call__(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        self.depth.calls = 0


@dataclass(slots=True)
class _AddOmega(_OmegaHook):
    kept: _Kept
    depth: _Depth
    place: Place

    def __call__(
        self, norm: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        omega: Tensor = norm.get_parameter(OMEGA)
        if omega.ndim == 2:
            omega = omega[self.depth.calls]
            self.depth.calls += 1
        shortcut = self.kept.x
        assert shortcut is not None, "x passes a module before it is added"
        self.kept.x = None
        if isinstance(self.place, str):
            total = add_omega(options[self.place], omega, shortcut)
            return arguments, {**options, self.place: total}
        before, after = arguments[: self.place], arguments[self.place + 1 :]
        return (*before, add_omega(arguments[self.place], omega, shortcut), *after), options

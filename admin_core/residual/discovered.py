"""A sub-layer that was found in somebody's network."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from admin_core.residual.branch import ResidualBranch
from admin_core.residual.route import Route
from admin_core.residual.site import Site

OMEGA = "omega"
"""Name of the parameter of a norm module that scales the shortcut before it."""


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """The network in which branches were found."""

    model: nn.Module
    order: Mapping[str, int]
    """Place of each parameter among all, by name."""
    scales: dict[Site, tuple[Tensor | float, Tensor | float]] = field(default_factory=dict)
    """What the network scaled shortcut and branch by in the addition that is being looked at."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DiscoveredBranch(ResidualBranch):
    """A sub-layer of a network that says nothing about itself."""

    network: Network
    addition_path: str
    """Dotted path of the module whose code adds."""

    parallel: bool
    """Whether another branch reads the same x_{i-1}."""

    parameter_names: tuple[str, ...]
    found_modules: Mapping[str, nn.Module]
    norm_path: str | None
    """Dotted path of the norm module that follows the addition."""

    norm_number: int
    """Which call of that module in a pass, from 0."""

    shortcut_factors: tuple[float | str, ...]
    """Constants, and names of parameters, that scale the shortcut; empty for a plain one."""

    branch_factors: tuple[float | str, ...]
    """The same for the branch's output, as LayerScale and ReZero do."""

    ends_in_norm: bool
    """Whether the sum meets a norm before the next linear map and before the network ends."""

    site: Site
    route: Route | None
    """How an omega reaches the addition; None where it cannot."""

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """Of the branch, its norms included, by full dotted names."""
        return {name: self.network.model.get_parameter(name) for name in self.parameter_names}

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Every module at work in the branch, and the norm after it, by dotted path."""
        return self.found_modules

    @property
    def post_norm(self) -> nn.Module | None:
        """The norm module that follows the addition."""
        return None if self.norm_path is None else self.network.model.get_submodule(self.norm_path)

    @property
    def omega(self) -> Tensor | None:
        """omega_i, per feature; None where `apply_omega` has put in none."""
        omega: Tensor | None = getattr(self.post_norm, OMEGA, None)
        if omega is None:
            return None
        return omega[self.norm_number] if omega.ndim == 2 else omega

    def operands(self, shortcut: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
        """The two tensors that are added, with the scales of the addition seen last."""
        by_shortcut, by_branch = self.network.scales.get(self.site, (1.0, 1.0))
        scaled = _scaled(by_shortcut, shortcut)
        omega = self.omega
        return scaled if omega is None else omega * scaled, _scaled(by_branch, output)


def _scaled(scale: Tensor | float, x: Tensor) -> Tensor:
    return x if not isinstance(scale, torch.Tensor) and scale == 1.0 else scale * x

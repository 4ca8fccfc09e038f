"""One sub-layer of a network, whoever wrote the network.

x_i = post_norm(scaled shortcut + scaled branch)
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from admin_core.models.sublayer import SubLayer
from admin_core.report import NormPlacement, Role, StackName
from admin_core.spec import Stack


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualBranch(ABC):
    """One sub-layer of a network: where it is and what it is."""

    index: int
    """i, from 1, restarting in each stack."""

    stack: StackName
    path: str
    """Dotted module path, such as ``encoder.layers.3.feed_forward``."""

    role: Role
    norm_placement: NormPlacement

    @property
    @abstractmethod
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """Of the branch f_i alone, by their full dotted names."""

    @property
    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """Every module that works in the sub-layer, norms included, by its dotted path."""

    @property
    @abstractmethod
    def post_norm(self) -> nn.Module | None:
        """The norm that follows the addition, where it is a module."""

    @abstractmethod
    def operands(self, shortcut: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
        """The two tensors that are added, scales applied, from x_{i-1} and f_i(x_{i-1})."""

    @property
    def dtype(self) -> torch.dtype:
        """Of the branch's parameters; float32 where it has none."""
        return next((p.dtype for p in self.parameters.values()), torch.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SubLayerBranch(ResidualBranch):
    """A sub-layer of the built-in Transformer."""

    sublayer: SubLayer

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """Of the branch without its norms, by full dotted names."""
        return {
            f"{self.path}.branch.{name}": parameter
            for name, parameter in self.sublayer.branch.named_parameters()
        }

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Every module of the sub-layer but itself, by its dotted path."""
        return {
            f"{self.path}.{name}": module for name, module in self.sublayer.named_modules() if name
        }

    @property
    def post_norm(self) -> nn.Module | None:
        """The norm that follows the addition."""
        norm = self.sublayer.post_norm
        return None if isinstance(norm, nn.Identity) else norm

    def operands(self, shortcut: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
        """The two tensors that are added, scales applied."""
        return self.sublayer.add.operands(shortcut, output)


def residual_branches(model: nn.Module) -> list[SubLayerBranch]:
    """Every residual branch of the built-in Transformer, in the order of the forward pass: the
    encoder's, then the decoder's."""
    branches: list[SubLayerBranch] = []
    index: Counter[Stack] = Counter()
    for path, module in model.named_modules():
        if not isinstance(module, SubLayer):
            continue
        stack = Stack(path.split(".", 1)[0])
        index[stack] += 1
        branches.append(
            SubLayerBranch(
                index=index[stack],
                stack=stack,
                path=path,
                role=module.role,
                norm_placement=module.norm_placement,
                sublayer=module,
            )
        )
    return branches

"""Where the shortcuts and residual branches of a network are, and how to watch them.

Everything that measures a branch asks this module, and nothing else knows how a network is built.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from admin_core.models.sublayer import SubLayer
from admin_core.report import NormPlacement, Role
from admin_core.spec import Stack


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualBranch:
    """One sub-layer of a network: where it is and what it is."""

    index: int
    """i, from 1, restarting in each stack."""

    stack: Stack
    path: str
    """Dotted module path, such as ``encoder.layers.3.feed_forward``."""

    role: Role
    norm_placement: NormPlacement
    sublayer: SubLayer


def residual_branches(model: nn.Module) -> list[ResidualBranch]:
    """Every residual branch, in the order of the forward pass: the encoder's, then the
    decoder's."""
    branches: list[ResidualBranch] = []
    for path, module in model.named_modules():
        if not isinstance(module, SubLayer):
            continue
        stack = Stack(path.split(".", 1)[0])
        branches.append(
            ResidualBranch(
                index=1 + sum(branch.stack is stack for branch in branches),
                stack=stack,
                path=path,
                role=module.role,
                norm_placement=module.norm_placement,
                sublayer=module,
            )
        )
    return branches


@contextmanager
def at_additions(
    branches: Sequence[ResidualBranch],
    see: Callable[[ResidualBranch, Tensor, Tensor], Tensor | None],
) -> Iterator[None]:
    """Within the block, call see(branch, x_{i-1}, f_i(x_{i-1})) just before each shortcut
    addition; a scalar that it returns scales the shortcut in this pass."""

    def hook(branch: ResidualBranch) -> Callable[..., tuple[Tensor, Tensor] | None]:
        def before_addition(
            _: nn.Module, operands: tuple[Tensor, Tensor]
        ) -> tuple[Tensor, Tensor] | None:
            shortcut, output = operands
            scale = see(branch, shortcut, output)
            return None if scale is None else (scale * shortcut, output)

        return before_addition

    with ExitStack() as hooks:
        for branch in branches:
            hooks.enter_context(branch.sublayer.add.register_forward_pre_hook(hook(branch)))
        yield


@contextmanager
def at_sums(
    branches: Sequence[ResidualBranch], see: Callable[[ResidualBranch, Tensor], None]
) -> Iterator[None]:
    """Within the block, call see(branch, sum) for what each shortcut addition gives."""

    def hook(branch: ResidualBranch) -> Callable[..., None]:
        return lambda _module, _arguments, total: see(branch, total)

    with ExitStack() as hooks:
        for branch in branches:
            hooks.enter_context(branch.sublayer.add.register_forward_hook(hook(branch)))
        yield


@contextmanager
def at_states(
    branches: Sequence[ResidualBranch], see: Callable[[ResidualBranch, Tensor], None]
) -> Iterator[None]:
    """Within the block, call see(branch, x_i) for the state after each sub-layer."""

    def hook(branch: ResidualBranch) -> Callable[..., None]:
        return lambda _module, _arguments, state: see(branch, state)

    with ExitStack() as hooks:
        for branch in branches:
            hooks.enter_context(branch.sublayer.register_forward_hook(hook(branch)))
        yield

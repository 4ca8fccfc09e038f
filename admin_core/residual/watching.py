"""Look at the operands, the sum and the state of each sub-layer during a forward pass."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from admin_core.residual.branch import ResidualBranch, SubLayerBranch
from admin_core.residual.discovered import DiscoveredBranch
from admin_core.residual.recognition import at_discovered


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
        for branch in _built_in(branches):
            hooks.enter_context(branch.sublayer.add.register_forward_pre_hook(hook(branch)))
        hooks.enter_context(at_discovered(_discovered(branches), addition=see))
        yield


@contextmanager
def at_sums(
    branches: Sequence[ResidualBranch], see: Callable[[ResidualBranch, Tensor], None]
) -> Iterator[None]:
    """Within the block, call see(branch, sum) for what each shortcut addition gives."""

    def hook(branch: ResidualBranch) -> Callable[..., None]:
        return lambda _module, _arguments, total: see(branch, total)

    with ExitStack() as hooks:
        for branch in _built_in(branches):
            hooks.enter_context(branch.sublayer.add.register_forward_hook(hook(branch)))
        hooks.enter_context(at_discovered(_discovered(branches), sum=see))
        yield


@contextmanager
def at_states(
    branches: Sequence[ResidualBranch], see: Callable[[ResidualBranch, Tensor], None]
) -> Iterator[None]:
    """Within the block, call see(branch, x_i) for the state after each sub-layer."""

    def hook(branch: ResidualBranch) -> Callable[..., None]:
        return lambda _module, _arguments, state: see(branch, state)

    with ExitStack() as hooks:
        for branch in _built_in(branches):
            hooks.enter_context(branch.sublayer.register_forward_hook(hook(branch)))
        hooks.enter_context(at_discovered(_discovered(branches), state=see))
        yield


def _built_in(branches: Sequence[ResidualBranch]) -> list[SubLayerBranch]:
    return [branch for branch in branches if isinstance(branch, SubLayerBranch)]


def _discovered(branches: Sequence[ResidualBranch]) -> list[DiscoveredBranch]:
    return [branch for branch in branches if isinstance(branch, DiscoveredBranch)]

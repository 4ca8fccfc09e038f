"""Find the additions of a discovered network again in a forward pass of numbers.

A `TorchFunctionMode` looks at the calls that the code of the modules in question makes, by the
addresses that discovery wrote down. It works above autograd, so that what is seen, and what takes
its place, is part of the graph.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor
from torch._C import DisableTorchFunction
from torch.overrides import TorchFunctionMode

from admin_core.residual.discovered import DiscoveredBranch, Network
from admin_core.residual.omega import add_omega
from admin_core.residual.site import Scale
from admin_core.residual.trace import UNEVEN, Address, Frames, address_of, operation_name
from admin_core.residual.uncompiled import uncompiled

SeeAddition = Callable[[DiscoveredBranch, Tensor, Tensor], Tensor | None]
SeeTensor = Callable[[DiscoveredBranch, Tensor], None]


@contextmanager
def at_discovered(
    branches: Sequence[DiscoveredBranch],
    *,
    addition: SeeAddition | None = None,
    sum: SeeTensor | None = None,
    state: SeeTensor | None = None,
) -> Iterator[None]:
    """Within the block, each forward pass of the branches' network shows what it adds, what comes
    of it and the state after it. Compiled networks run uncompiled meanwhile."""
    if not branches:
        yield
        return
    with ExitStack() as block:
        block.enter_context(uncompiled())
        for network in dict.fromkeys(branch.network for branch in branches):
            own = [branch for branch in branches if branch.network is network]
            watch = _Watch(network, own, addition, sum, state)
            block.enter_context(watch.following())
            block.enter_context(_Watcher(watch))
        yield


class _Watch(Frames):
    """Knows at each call of a function which branch it belongs to."""

    def __init__(
        self,
        network: Network,
        branches: Sequence[DiscoveredBranch],
        addition: SeeAddition | None,
        sum: SeeTensor | None,
        state: SeeTensor | None,
    ) -> None:
        super().__init__(network.model)
        self.network = network
        self.see_addition, self.see_sum, self.see_state = addition, sum, state
        self.additions: dict[Address, list[DiscoveredBranch]] = {}
        self.summands: dict[Address, list[DiscoveredBranch]] = {}
        self.states: dict[Address, DiscoveredBranch] = {}
        self.scales: dict[Address, Scale] = {}
        for branch in branches:
            site = branch.site
            self.additions.setdefault(site.sum, []).append(branch)
            if site.summed is not None:
                self.summands.setdefault(site.summed, []).append(branch)
            if state is not None and site.state != site.sum:
                self.states[site.state] = branch
            for scale in (site.shortcut_scale, site.branch_scale):
                if scale is not None and addition is not None:
                    self.scales[scale.address] = scale
        self.looked_at = {
            (address.module, address.operation.removesuffix(UNEVEN))
            for addresses in (self.additions, self.summands, self.states, self.scales)
            for address in addresses
        }
        self.modules = {module for module, _ in self.looked_at}
        self.terms: dict[DiscoveredBranch, Tensor] = {}
        self.products: dict[int, tuple[Tensor, Tensor, Tensor | float]] = {}
        """By the identity of a product: itself, what it scales, and by what."""

    def call(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], options: Mapping[str, Any]
    ) -> Any:
        """Make a call, and show what is to be seen of it."""
        current = self.current
        if current is None or current.path not in self.modules:
            return function(*arguments, **options)
        operation, in_place = operation_name(function)
        if (current.path, operation) not in self.looked_at:
            return function(*arguments, **options)
        address = address_of(current, operation, arguments)
        with DisableTorchFunction():
            for branch in self.summands.get(address, ()):
                term = arguments[branch.site.branch_position]
                # What is added to in place is soon the sum.
                overwritten = in_place and branch.site.branch_position == 0
                self.terms[branch] = term.clone() if overwritten else term
        if address in self.additions:
            output = self._add(self.additions[address], function, arguments, options)
        else:
            output = function(*arguments, **options)
        with DisableTorchFunction():
            if address in self.scales:
                self._note_product(self.scales[address], arguments, output)
            if address in self.states and self.see_state is not None:
                self.see_state(self.states[address], _first(output))
        return output

    def _add(
        self,
        branches: list[DiscoveredBranch],
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        options: Mapping[str, Any],
    ) -> Tensor:
        """Show the operands of one addition, scale the shortcut as is asked, and add.

        Branches beside one shortcut are shown as if they were added one after the other.
        """
        operation, in_place = operation_name(function)
        position = branches[0].site.shortcut_position
        *earlier, last = branches
        with DisableTorchFunction():
            operands = _operands(operation, arguments, options)
            weights = [1.0, _weight(operation, options)]
            shortcut, entering = operands[position], operands[1 - position]
            running, scaled = shortcut, False
            for branch in earlier:
                term = self.terms.pop(branch)
                carried = self._shown(branch, running, term, (1.0, 1.0))
                scaled |= carried is not running
                running = carried + term
                self._show_sum(branch, running)
            term = self.terms.pop(last, entering)
            scales = weights[position], weights[1 - position]
            carried = self._shown(last, running, term, scales)
            scaled |= carried is not running
            changed = list(arguments)
            if scaled and earlier:
                # What was scaled on the way is not what the network would add.
                changed[position], changed[1 - position] = carried, term
            elif scaled:
                if in_place and position == 0:
                    carried = shortcut.copy_(carried)  # others may hold the sum by this name
                changed[position] = carried
        output = function(*changed, **options)
        with DisableTorchFunction():
            omega = last.omega
            total = output if omega is None else add_omega(output, omega, running)
            self._show_sum(last, total)
            self.products.clear()
        return output  # type: ignore[no-any-return]

    def _shown(
        self,
        branch: DiscoveredBranch,
        shortcut: Tensor,
        output: Tensor,
        weights: tuple[float, float],
    ) -> Tensor:
        """The shortcut as it is to be added, after the branch's observer has seen both operands as
        they were before the network scaled them."""
        seen, by_shortcut = self._unscaled(shortcut)
        seen_output, by_branch = self._unscaled(output)
        self.network.scales[branch.site] = weights[0] * by_shortcut, weights[1] * by_branch
        if self.see_addition is None:
            return shortcut
        scale = self.see_addition(branch, seen, seen_output)
        return shortcut if scale is None else scale * shortcut

    def _show_sum(self, branch: DiscoveredBranch, total: Tensor) -> None:
        if self.see_sum is not None:
            self.see_sum(branch, total)
        if self.see_state is not None and branch.site.state == branch.site.sum:
            self.see_state(branch, total)

    def _note_product(self, scale: Scale, arguments: tuple[Any, ...], product: Tensor) -> None:
        self.products[id(product)] = (
            product,
            arguments[scale.stream],
            arguments[1 - scale.stream],
        )

    def _unscaled(self, operand: Tensor) -> tuple[Tensor, Tensor | float]:
        """What a product scales, and by what; the operand itself and 1 where it is none."""
        product = self.products.get(id(operand))
        return (operand, 1.0) if product is None else product[1:]


class _Watcher(TorchFunctionMode):
    """Hands every call to the watch."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self.watch = watch

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: tuple[Any, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        return self.watch.call(function, arguments, options or {})


def _operands(
    operation: str, arguments: tuple[Any, ...], options: Mapping[str, Any]
) -> tuple[Tensor, Tensor]:
    """The two tensors that a call adds, before `alpha` weighs the second."""
    if operation == "add":
        second = arguments[1] if len(arguments) > 1 else options["other"]
        return arguments[0], second
    first, left, right = arguments[:3]
    if operation == "addcmul":
        return first, options.get("value", 1) * left * right
    return options.get("beta", 1) * first, options.get("alpha", 1) * (left @ right)


def _weight(operation: str, options: Mapping[str, Any]) -> float:
    return options.get("alpha", 1.0) if operation == "add" else 1.0


def _first(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else next(iter(output))

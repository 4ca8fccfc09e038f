"""Find the residual branches of a network that nobody edited.

One pass of shapes is written down (`trace`), its shortcut additions are told from all the others
(`additions`), and each branch is described: its stack, its role, its norm, its parameters.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from admin_core.report import NormPlacement, Role
from admin_core.residual.additions import Shortcut, find_shortcuts
from admin_core.residual.discovered import DiscoveredBranch, Network
from admin_core.residual.norms import (
    branch_ends_in_norm,
    ends_in_norm,
    goes_on_through_norm,
    norm_placements,
)
from admin_core.residual.passes import Inputs, trace_forward
from admin_core.residual.provenance import (
    between,
    mixes,
    parameters_of,
    plain,
    taken_back,
    unscaled,
)
from admin_core.residual.roles import role_of
from admin_core.residual.route import route_of
from admin_core.residual.site import Scale, Site
from admin_core.residual.stacks import find_stacks, stack_names
from admin_core.residual.trace import Address, Call, Trace, Value
from admin_core.spec import Stack


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualMap:
    """Every residual branch of a network."""

    model: nn.Module
    branches: tuple[DiscoveredBranch, ...]
    """In the order of the forward pass."""

    @property
    def stacks(self) -> dict[str, tuple[DiscoveredBranch, ...]]:
        """The branches of each stack, in the order of the forward pass."""
        names = dict.fromkeys(str(branch.stack) for branch in self.branches)
        return {name: tuple(b for b in self.branches if b.stack == name) for name in names}


def discover(model: nn.Module, inputs: Inputs) -> ResidualMap:
    """Every shortcut addition of a network, from one pass of shapes in evaluation mode.

    Neither the model nor its mode changes. Parameters may be on the meta device, so that a network
    of any size is mapped without its memory.

    Args:
        model: any module; of a compiled one, the module that was compiled is looked at.
        inputs: a batch as `model` takes it, by name or in order.

    Returns:
        The branches in forward order; none where the network has no shortcut addition.

    Raises:
        ForwardError: the forward raises on these inputs.
    """
    model = getattr(model, "_orig_mod", model)
    trace = trace_forward(model, inputs)
    shortcuts = _summands_apart(find_shortcuts(trace))
    paths = _paths(shortcuts)
    stacks = find_stacks(shortcuts)
    places = {
        shortcut: placement
        for stack in stacks
        for shortcut, placement in zip(
            stack.shortcuts, norm_placements(stack.shortcuts), strict=True
        )
    }
    roles = {
        shortcut: role_of(shortcut, *_names(shortcut, paths[shortcut]), origin=stack.shortcuts[0].x)
        for stack in stacks
        for shortcut in stack.shortcuts
    }
    names = stack_names(stacks, [[roles[s] for s in stack.shortcuts] for stack in stacks])
    where = {
        shortcut: (_stack(name), index)
        for name, stack in zip(names, stacks, strict=True)
        for index, shortcut in enumerate(stack.shortcuts, 1)
    }
    order = {name: place for place, (name, _) in enumerate(model.named_parameters())}
    network = Network(model, order)
    branches = tuple(
        _described(
            network,
            trace,
            shortcut,
            paths[shortcut],
            *where[shortcut],
            roles[shortcut],
            places[shortcut],
        )
        for shortcut in shortcuts
    )
    return ResidualMap(model=model, branches=branches)


def _summands_apart(shortcuts: Sequence[Shortcut]) -> list[Shortcut]:
    """Branches that are added up before the shortcut, one by one where they differ in role.

    The experts of a mixture are one branch, attention and feed-forward beside each other are two.
    """
    found = []
    for shortcut in shortcuts:
        parts = _summands(shortcut)
        roles = {role_of(part, *_names(part)) for part in parts}
        apart = len(parts) > 1 and len(roles) == len(parts) and Role.OTHER not in roles
        for part in parts:
            part.beside |= apart
        found += sorted(parts, key=lambda part: part.branch.position) if apart else [shortcut]
    return found


def _summands(shortcut: Shortcut) -> list[Shortcut]:
    summed = plain(shortcut.branch)
    if summed.operation != "add" or len(summed.inputs) != 2 or summed.call is not shortcut.sum.call:
        return []
    return [
        Shortcut(shortcut.sum, shortcut.x, shortcut.shortcut_position, summed, position)
        for position in (0, 1)
        if mixes(between(shortcut.x, summed.inputs[position]))
    ]


def _paths(shortcuts: Sequence[Shortcut]) -> dict[Shortcut, str]:
    """The dotted path of each branch's own outermost module, or else of the module in which the
    addition happens."""
    inside: dict[Call, set[Shortcut]] = defaultdict(set)
    for shortcut in shortcuts:
        for value in shortcut.mixing:
            for call in value.call.ancestors() if value.call is not None else ():
                inside[call].add(shortcut)
    paths = {}
    for shortcut in shortcuts:
        home = _home(shortcut)
        shared = home is None or any(
            not _around(other, shortcut) and not _around(shortcut, other)
            for other in inside[home]
            if other is not shortcut
        )
        own = shortcut.sum.call if shared else home
        path = own.path if own is not None else ""
        paths[shortcut] = path or _last_module(shortcut.mixing)
    return paths


def _around(outer: Shortcut, inner: Shortcut) -> bool:
    """Whether the inner addition stands in the outer one's branch."""
    return inner.sum in outer.within


def _home(shortcut: Shortcut) -> Call | None:
    """The innermost call in which all mixing of the branch happens."""
    chains = [
        list(value.call.ancestors())[::-1] for value in shortcut.mixing if value.call is not None
    ]
    common = None
    for calls in zip(*chains, strict=False):
        if any(call is not calls[0] for call in calls):
            break
        common = calls[0]
    return common


def _last_module(values: Sequence[Value]) -> str:
    paths = [value.call.path for value in values if value.call is not None and value.call.path]
    return paths[-1] if paths else ""


def _names(shortcut: Shortcut, path: str | None = None) -> tuple[str, list[str]]:
    """Name and class of the branch's own module; without one, the names of all modules in it."""
    home = _home(shortcut)
    if home is not None and path in (home.path, None) and home is not shortcut.sum.call:
        return home.path.rpartition(".")[2], [type(home.module).__name__]
    names = [
        f"{path.rpartition('.')[2]} {type(module).__name__}"
        for path, module in _modules(shortcut).items()
    ]
    return "", names


def _stack(name: str) -> Stack:
    """The member of that name where there is one; it is a str too, so that all are used alike."""
    return Stack(name) if name in list(Stack) else name  # type: ignore[return-value]


def _described(
    network: Network,
    trace: Trace,
    shortcut: Shortcut,
    path: str,
    stack: Stack,
    index: int,
    role: Role,
    placement: NormPlacement,
) -> DiscoveredBranch:
    norm = None
    inside = placement is NormPlacement.SANDWICH and branch_ends_in_norm(shortcut)
    if placement in (NormPlacement.POST, NormPlacement.SANDWICH) and not inside:
        norm = goes_on_through_norm(shortcut.sum)
    norm_call = _norm_call(shortcut.sum, norm)
    names = {name for value in shortcut.region for name in _weights(value)}
    modules = _modules(shortcut)
    state = shortcut.sum
    if norm is not None:
        state = norm_call.outputs[0] if norm_call is not None else norm
    if norm_call is not None:
        modules[norm_call.path] = norm_call.module
    return DiscoveredBranch(
        index=index,
        stack=stack,
        path=path,
        role=role,
        norm_placement=placement,
        network=network,
        addition_path=shortcut.sum.call.path if shortcut.sum.call is not None else "",
        parallel=shortcut.beside,
        route=route_of(shortcut, norm_call, trace),
        parameter_names=tuple(sorted(names, key=network.order.__getitem__)),
        found_modules=modules,
        norm_path=None if norm_call is None else norm_call.path,
        norm_number=0 if norm_call is None else norm_call.number,
        shortcut_factors=_factors(shortcut.shortcut, until=shortcut.x),
        branch_factors=_factors(shortcut.branch, until=shortcut.x),
        ends_in_norm=ends_in_norm(shortcut.sum),
        site=_site(shortcut, state),
    )


def _norm_call(total: Value, norm: Value | None) -> Call | None:
    """The module call that is the norm, given the sum and nothing else of the stream."""
    if norm is None or norm.call is None:
        return None
    for call in norm.call.ancestors():
        if any(plain(value) is plain(total) for value in call.inputs) and call.outputs:
            return call
        break
    return None


def _weights(value: Value) -> Iterable[str]:
    for operand in value.inputs:
        if operand.constant:
            yield from parameters_of(operand)


def _modules(shortcut: Shortcut) -> dict[str, nn.Module]:
    """Every module at work in the branch, without those that hold the addition too."""
    around = set(shortcut.sum.call.ancestors()) if shortcut.sum.call is not None else set()
    return {
        call.path: call.module
        for value in shortcut.region
        if value.call is not None
        for call in value.call.ancestors()
        if call not in around and call.start > shortcut.x.position - 1
    }


def _factors(value: Value, *, until: Value) -> tuple[float | str, ...]:
    """The constant numbers, and the names of the parameters, that a value is multiplied with on its
    way from the stream; numbers other than 1."""
    factors: list[float | str] = []
    for one in taken_back(value):
        if one is until:
            break
        if unscaled(one) is not None:
            factors += [name for v in one.inputs if v.constant for name in parameters_of(v)]
            numbers = [float(a) for a in one.arguments if isinstance(a, int | float)]
            factors += [1 / n if one.operation == "div" else n for n in numbers if n not in (0, 1)]
    return tuple(factors)


def _site(shortcut: Shortcut, state: Value) -> Site:
    total, summed = _address(shortcut.sum), None
    position = 1 - shortcut.shortcut_position
    if shortcut.summed is not None and shortcut.branch_position is not None:
        summed, position = _address(shortcut.summed), shortcut.branch_position
    return Site(
        sum=total,
        shortcut_position=shortcut.shortcut_position,
        summed=summed,
        branch_position=position,
        shortcut_scale=None if shortcut.shortcut is shortcut.x else _scale(shortcut.shortcut),
        branch_scale=_scale(shortcut.branch),
        state=_address(state),
    )


def _address(value: Value) -> Address:
    assert value.address is not None, "what was called has an address"
    return value.address


def _scale(value: Value) -> Scale | None:
    """The product that a value is, where a constant scales the stream in it."""
    stream = unscaled(value)
    if stream is None or value.address is None or value.operation != "mul":
        return None
    operands = value.arguments[:2]
    if len(operands) < 2:
        return None
    return Scale(address=value.address, stream=0 if operands[0] is stream else 1)

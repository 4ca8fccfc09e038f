"""A forward pass written down: every tensor, what it was made from, and in which module.

A `TorchFunctionMode` sees each call of a PyTorch function from Python, hooks on the modules say
which of them is at work. Calls are seen as they are written: an activation is one value, whatever
it adds inside. What no call explains, as the outputs of a scripted or a C++ module, descends from
everything that its module was given.

Each call has an `Address` that is the same in every pass, in training and in evaluation and with
layers dropped, so that it is found again: the module in whose own code it stands, which of that
module's calls it was, the function's name, and which of its calls in this code.
"""

import sys
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch._C import DisableTorchFunction
from torch._subclasses import FakeTensor
from torch.overrides import TorchFunctionMode

from admin_core.residual.operations import ADDITIONS, FRESH, LIKE_ANOTHER, VIEWS

UNEVEN = " of unlike operands"
"""Added to the name of an addition of a number, or of tensors of two shapes."""


class Address(NamedTuple):
    """Where in a forward pass a function is called."""

    module: str
    """Dotted path of the module whose own code calls it."""
    call: int
    """Which call of that module, from 0: a shared module is called once a depth."""
    operation: str
    ordinal: int
    """Which call of the function by that code, from 0; additions of tensors of one shape are
    counted apart from the others."""


@dataclass(slots=True, eq=False)
class Call:
    """One call of one module."""

    path: str
    module: nn.Module
    number: int
    parent: "Call | None"
    start: int
    """Number of values there were when it began."""
    place: int = 0
    """Number of calls there were."""
    given: dict[int | str, "Value"] = field(default_factory=dict)
    """Tensors among its arguments, by position or name."""
    returns_tensor: bool = False
    inputs: list["Value"] = field(default_factory=list)
    outputs: list["Value"] = field(default_factory=list)
    end: int = sys.maxsize
    counts: Counter[str] = field(default_factory=Counter)

    def ancestors(self) -> Iterator["Call"]:
        """This call and those around it, innermost first."""
        call: Call | None = self
        while call is not None:
            yield call
            call = call.parent


@dataclass(eq=False)
class Value:
    """A tensor at one moment of the pass."""

    position: int
    """How many values came before it."""
    operation: str
    """That made it; "parameter", "input" and "constant" for what was there before."""
    inputs: list["Value"]
    shape: tuple[int, ...]
    floating: bool
    call: Call | None
    address: Address | None = None
    arguments: tuple[Any, ...] = ()
    """Of the operation, with values in place of tensors."""
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    """Of a parameter."""
    consumers: list["Value"] = field(default_factory=list)

    def __post_init__(self) -> None:
        for value in self.inputs:
            value.consumers.append(self)

    @cached_property
    def constant(self) -> bool:
        """Whether no input of the model reaches it."""
        return self.operation != "input" and all(value.constant for value in self.inputs)


@dataclass(slots=True, eq=False)
class Trace:
    """A whole forward pass."""

    values: list[Value] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)


def operation_name(function: Callable[..., Any]) -> tuple[str, bool]:
    """A function's plain name, and whether it writes into its first operand."""
    name: str = getattr(function, "__name__", type(function).__name__)
    name = name.split(".")[0]
    if name.startswith("__"):
        plain = name.strip("_")
        if plain in ("iadd", "isub", "imul", "itruediv"):
            return {"iadd": "add", "isub": "sub", "imul": "mul", "itruediv": "div"}[plain], True
        plain = {"radd": "add", "rmul": "mul", "truediv": "div", "multiply": "mul"}.get(
            plain, plain
        )
        return plain, plain == "setitem"
    if name.startswith("_"):
        name = name.lstrip("_")
    plain = name.rstrip("_")
    return {"multiply": "mul", "divide": "div", "true_divide": "div"}.get(plain, plain), (
        name.endswith("_")
    )


def countable(operation: str, arguments: tuple[Any, ...]) -> bool:
    """Whether a call counts with its kind. Dropping whole paths in training adds a number to random
    ones, so that additions of two tensors of one shape are counted apart."""
    if operation != "add":
        return True
    if len(arguments) < 2:
        return False
    first, second = arguments[:2]
    return hasattr(first, "shape") and hasattr(second, "shape") and first.shape == second.shape


class Frames:
    """Which module's own code is running, in which of its calls."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.current: Call | None = None
        self.numbers: Counter[str] = Counter()
        self.failed_at: str | None = None

    @contextmanager
    def following(self) -> Iterator[None]:
        """Hooks on every module; each forward pass of the model counts from 0."""
        with ExitStack() as hooks:
            for path, module in self.model.named_modules():
                enter, leave = self._enter(path), self._leave(path)
                hooks.enter_context(
                    module.register_forward_pre_hook(enter, with_kwargs=True, prepend=True)
                )
                hooks.enter_context(
                    module.register_forward_hook(leave, with_kwargs=True, always_call=True)
                )
            yield

    def entered(self, call: Call, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> None:
        """A module has been called."""

    def left(self, call: Call, output: Any) -> None:
        """A module has returned."""

    def _enter(self, path: str) -> Callable[..., None]:
        def enter(module: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
            if not path:
                self.numbers.clear()
                self.current = None
            elif self.current is None:
                return  # called on its own, as in a recomputed segment of a backward pass
            number = self.numbers[path]
            self.numbers[path] += 1
            self.current = Call(path, module, number, self.current, 0)
            with DisableTorchFunction():  # what is looked up here is no part of the pass
                self.entered(self.current, arguments, options)

        return enter

    def _leave(self, path: str) -> Callable[..., None]:
        def leave(
            module: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any], output: Any
        ) -> None:
            call = self.current
            if call is None or call.path != path:
                return
            if sys.exc_info()[1] is not None and output is None:
                self.failed_at = self.failed_at if self.failed_at is not None else path
            else:
                with DisableTorchFunction():
                    self.left(call, output)
            self.current = call.parent

        return leave


def address_of(call: Call, operation: str, arguments: tuple[Any, ...]) -> Address:
    """The address of the next call of a function by the code of `call`, which is counted."""
    if not countable(operation, arguments):
        operation += UNEVEN
    ordinal = call.counts[operation]
    call.counts[operation] += 1
    return Address(call.path, call.number, operation, ordinal)


class Tracer(Frames):
    """Writes down one forward pass of a model."""

    def __init__(
        self, model: nn.Module, names: Mapping[int, str], buffers: Collection[int] = ()
    ) -> None:
        """
        Args:
            names: of the parameters, by the identity of the tensor that stands for each.
            buffers: the identities of the tensors that stand for the buffers.
        """
        super().__init__(model)
        self.trace = Trace()
        self.names = names
        self.buffers = buffers
        self.known: dict[int, tuple[weakref.ref[Tensor], Value]] = {}
        self.parts: dict[tuple[int, str] | None, Value] = {}
        """What was cut out of which tensor, so that the same part is the same value."""
        self.bases: dict[int, weakref.ref[Tensor]] = {}

    @contextmanager
    def recording(self) -> Iterator[Trace]:
        """Within the block, the next forward pass is written down."""
        with self.following(), _Recorder(self):
            yield self.trace

    def entered(self, call: Call, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> None:
        call.place = len(self.trace.calls)
        self.trace.calls.append(call)
        tensors = list(tensors_in((arguments, options)))
        call.inputs = [self.value_of(t, "constant" if call.path else "input") for t in tensors]
        places: list[tuple[int | str, Any]] = [*enumerate(arguments), *options.items()]
        call.given = {
            place: self._known(argument)
            for place, argument in places
            if isinstance(argument, Tensor)
        }
        call.start = len(self.trace.values)

    def left(self, call: Call, output: Any) -> None:
        for tensor in tensors_in(output):
            value = self._find(tensor)
            if value is None:  # nothing that was seen made it: the module is opaque
                own = [self.value_of(p, "parameter") for p in call.module.parameters()]
                value = self._add(tensor, "opaque", [*call.inputs, *own])
            call.outputs.append(value)
        call.returns_tensor = isinstance(output, Tensor)
        call.end = len(self.trace.values)

    def value_of(self, tensor: Tensor, otherwise: str) -> Value:
        """The value of a tensor as it is now; a new one, of the kind `otherwise`, where no call
        made it."""
        found = self._find(tensor)
        if found is not None:
            return found
        name = self.names.get(id(tensor))
        if name is not None:
            return self._add(tensor, "parameter", [], name=name)
        unseen = otherwise == "constant" and isinstance(tensor, FakeTensor)
        unseen = unseen and tensor.is_floating_point()  # a mask says nothing about the stream
        if unseen and id(tensor) not in self.buffers and self.current is not None:
            # Shapes exist only since the pass began, so that this one was made by unseen code.
            return self._add(tensor, "opaque", self.current.inputs)
        return self._add(tensor, otherwise, [])

    def saw(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        options: Mapping[str, Any],
        before: list[Value],
        output: Any,
    ) -> None:
        """Write down one call.

        Args:
            before: the values of its operands when it began.
        """
        operation, in_place = operation_name(function)
        call = self.current
        if call is None:
            return
        target = options.get("out")
        if operation == "setitem" or (target is not None and output is None):
            output = arguments[0] if target is None else target
        outputs = list(tensors_in(output))
        if not outputs:
            return
        inputs = [] if operation in FRESH else before
        if operation in LIKE_ANOTHER:
            inputs = before[:1]
        address = address_of(call, operation, arguments)
        by_tensor = {
            id(t): v for t, v in zip(tensors_in((arguments, options)), before, strict=True)
        }
        shown = tuple(_shown(argument, by_tensor) for argument in arguments)
        shown_options = {name: _shown(option, by_tensor) for name, option in options.items()}
        operands = {id(t) for t in tensors_in((arguments, options))}
        if operation in ADDITIONS:
            operation, inputs = "add", self._summands(operation, shown, shown_options, inputs)
        part = None
        if operation == "getitem" and len(inputs) == 1:
            part = inputs[0].position, repr(arguments[1])
        for tensor in outputs:
            if id(tensor) in operands and not in_place and target is None:
                continue  # handed through, as by dropout in evaluation
            if part in self.parts:
                # The same part of the same tensor, cut out twice.
                self.known[id(tensor)] = weakref.ref(tensor), self.parts[part]
                self.bases[id(tensor)] = weakref.ref(arguments[0])
                continue
            self._add(
                tensor, operation, inputs, address=address, arguments=shown, options=shown_options
            )
            if part is not None:
                self.parts[part] = self._known(tensor)
            if not in_place:
                self.bases.pop(id(tensor), None)
            if in_place:
                self._write_through(tensor)
            elif operation in VIEWS and arguments and isinstance(arguments[0], Tensor):
                self.bases[id(tensor)] = weakref.ref(arguments[0])

    def computed(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], options: Mapping[str, Any]
    ) -> Any:
        """What a call gives."""
        return function(*arguments, **options)

    def _summands(
        self,
        operation: str,
        arguments: tuple[Any, ...],
        options: Mapping[str, Any],
        inputs: list[Value],
    ) -> list[Value]:
        """The two that are added, with a value for the product that a fused addition adds."""
        factor = options.get("alpha" if operation == "add" else "value", 1)
        if len(inputs) < 2 or (operation == "add" and factor == 1):
            return inputs
        first, *others = inputs
        product = Value(
            position=len(self.trace.values),
            operation="mul" if operation in ("add", "addcmul") else "matmul",
            inputs=others,
            shape=others[0].shape if operation == "add" else first.shape,
            floating=True,
            call=self.current,
            arguments=(*others, factor) if operation == "add" else tuple(others),
        )
        self.trace.values.append(product)
        return [first, product]

    def _write_through(self, view: Tensor) -> None:
        """What is written into a view is written into the tensor that it shows."""
        base = self.bases.get(id(view), lambda: None)()
        if base is not None and base is not view:
            self._add(base, "written", [self.value_of(base, "constant"), self._known(view)])
            self._write_through(base)

    def _known(self, tensor: Tensor) -> Value:
        return self.known[id(tensor)][1]

    def _find(self, tensor: Tensor) -> Value | None:
        entry = self.known.get(id(tensor))
        return entry[1] if entry is not None and entry[0]() is tensor else None

    def _add(self, tensor: Tensor, operation: str, inputs: list[Value], **facts: Any) -> Value:
        value = Value(
            position=len(self.trace.values),
            operation=operation,
            inputs=inputs,
            shape=tuple(tensor.shape),
            floating=tensor.is_floating_point(),
            call=self.current,
            **facts,
        )
        self.trace.values.append(value)
        self.known[id(tensor)] = weakref.ref(tensor), value
        return value


class _Recorder(TorchFunctionMode):
    """Hands every call to the tracer."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: tuple[Any, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        options = options or {}
        if self.tracer.current is None:
            return function(*arguments, **options)
        tensors = list(tensors_in((arguments, options)))
        before = [self.tracer.value_of(tensor, "constant") for tensor in tensors]
        output = self.tracer.computed(function, arguments, options)
        self.tracer.saw(function, arguments, options, before, output)
        return output


def tensors_in(nested: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists, mappings and the attributes of data classes."""
    if isinstance(nested, Tensor):
        yield nested
    elif isinstance(nested, tuple | list):
        for item in nested:
            yield from tensors_in(item)
    elif isinstance(nested, Mapping):
        for item in nested.values():
            yield from tensors_in(item)


def _shown(argument: Any, values: Mapping[int, Value]) -> Any:
    if isinstance(argument, Tensor):
        return values[id(argument)]
    if isinstance(argument, tuple | list):
        return tuple(_shown(item, values) for item in argument)
    return argument

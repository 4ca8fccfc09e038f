"""One pass to write down: of shapes where that is possible, and of numbers where it is not.

Shapes cost neither memory nor arithmetic, so that a model of any size is mapped in seconds. Code
that asks a tensor for a value, as some mixtures of experts do, needs the numbers.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from admin_core.errors import ForwardError
from admin_core.residual.trace import Trace, Tracer, operation_name
from admin_core.residual.uncompiled import uncompiled

Inputs = Mapping[str, Any] | tuple[Any, ...]
"""What a forward pass takes: by name, or in order."""


def trace_forward(model: nn.Module, inputs: Inputs) -> Trace:
    """What happens in one forward pass in evaluation mode, without gradients.

    Nothing of the model changes, not even the tables that it would keep for the next pass.

    Raises:
        ForwardError: the model's forward raises; says what and in which module.
    """
    with _left_as_it_was(model), torch.no_grad(), uncompiled():
        model.eval()
        try:
            with _quiet():
                return _shapes(model, inputs)
        except Exception as error:
            if any(parameter.is_meta for parameter in model.parameters()):
                raise _as_forward_error(model, error) from error
        try:
            return _numbers(model, inputs)
        except Exception as error:
            raise _as_forward_error(model, error) from error


class _ShapeTracer(Tracer):
    """Knows the shapes that PyTorch does not tell without numbers, and makes dropout visible."""

    def computed(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], options: Mapping[str, Any]
    ) -> Any:
        """What a call gives; of experts' matrices over sorted tokens, which PyTorch has shapes for
        in some formats alone, tokens x features."""
        operation, _ = operation_name(function)
        if "dropout" in operation:
            # In evaluation it hands its operand through, which in training is another tensor.
            return torch.ops.aten.alias(super().computed(function, arguments, options))
        if operation == "grouped_mm" and len(arguments) >= 2:
            tokens, weights = arguments[:2]
            if tokens.ndim == 2 and weights.ndim == 3:
                return tokens.new_empty(tokens.shape[0], weights.shape[-1])
        return super().computed(function, arguments, options)


def _shapes(model: nn.Module, inputs: Inputs) -> Trace:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    tensors = [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
    fakes: dict[int, Tensor] = {id(tensor): _shape_of(mode, tensor) for _, tensor in tensors}
    parameters = {
        id(fakes[id(parameter)]): name
        for name, parameter in reversed(list(model.named_parameters()))
    }
    stand_ins = {name: fakes[id(tensor)] for name, tensor in tensors}
    buffers = {id(fakes[id(buffer)]) for buffer in model.buffers()}
    tracer = _ShapeTracer(model, parameters, buffers)
    fake_inputs = _map_tensors(partial(_shape_of, mode), inputs)
    with mode, _failing_at(tracer), tracer.recording() as trace:
        arguments, options = call_arguments(fake_inputs)
        torch.func.functional_call(model, stand_ins, arguments, options, tie_weights=False)
    return trace


def _shape_of(mode: FakeTensorMode, tensor: Tensor) -> Tensor:
    """A tensor without numbers. One of the meta device takes the CPU for its device, as tensors do
    that the forward makes."""
    if not tensor.is_meta:
        return mode.from_tensor(tensor)
    with mode:
        return torch.empty_like(tensor, device="cpu")


def _numbers(model: nn.Module, inputs: Inputs) -> Trace:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    tracer = Tracer(model, names)
    with _failing_at(tracer), tracer.recording() as trace:
        arguments, options = call_arguments(inputs)
        model(*arguments, **options)
    return trace


def call_arguments(inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs as the positional and the named arguments of a call."""
    return ((), dict(inputs)) if isinstance(inputs, Mapping) else (inputs, {})


@contextmanager
def _failing_at(tracer: Tracer) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(_FAILED_AT + (tracer.failed_at or ""))
        raise


_FAILED_AT = "in the module "


def _as_forward_error(model: nn.Module, error: Exception) -> ForwardError:
    notes: list[str] = getattr(error, "__notes__", [])
    found = [note.removeprefix(_FAILED_AT) for note in notes if note.startswith(_FAILED_AT)]
    path = found[-1] if found else ""
    name = type(model.get_submodule(path)).__name__
    return ForwardError(path, name, f"{type(error).__name__}: {error}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep PyTorch from logging what is raised anyway."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    was_disabled, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = was_disabled


@contextmanager
def _left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Put back every module's attributes, buffers and mode."""
    before = [
        (module, dict(module.__dict__), dict(module._buffers), dict(module._parameters))
        for module in model.modules()
    ]
    try:
        yield
    finally:
        for module, attributes, buffers, parameters in before:
            for name in module.__dict__.keys() - attributes.keys():
                del module.__dict__[name]
            module.__dict__.update(attributes)
            module._buffers.clear()
            module._buffers.update(buffers)
            module._parameters.clear()
            module._parameters.update(parameters)


def _map_tensors(change: Callable[[Tensor], Tensor], nested: Any) -> Any:
    if isinstance(nested, Tensor):
        return change(nested)
    if isinstance(nested, tuple | list):
        return type(nested)(_map_tensors(change, item) for item in nested)
    if isinstance(nested, Mapping):
        return {key: _map_tensors(change, item) for key, item in nested.items()}
    return nested

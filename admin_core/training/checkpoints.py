"""A run on disk: one safetensors file, tensors and, in its header, the rest as JSON. No pickle.

    model.<path>            a parameter or buffer; a tied one once
    optimizer.<n>.<name>    the optimizer's state of parameter n

No generator's state is needed: the data of a step and its dropout come from streams of their own,
named by the seed and the step (`admin_core.seeds`).
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from admin_core.errors import CheckpointError


def _always() -> bool:
    return True


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where a run leaves its state, and how often."""

    path: Path
    every_seconds: float = 30.0
    before_save: Callable[[], bool] = _always
    """Called before each is written: what it writes down itself, a run that goes on from there need
    not say again. Where it could not, it says False, and the state is not saved this time."""
    after_save: Callable[[], None] = _nothing
    """Called after each is written."""


def save_checkpoint(
    path: Path,
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    run: str,
    state: Mapping[str, Any],
) -> None:
    """Replace the file at `path` in one go: whoever opens it finds the old state or the new one.

    Args:
        run: what the state belongs to; only the same may load it.
        state: what else the run needs to go on, as JSON values.
    """
    tensors = {f"model.{name}": tensor for name, tensor in _weights(model).items()}
    held = optimizer.state_dict()
    numbers: dict[str, dict[str, Any]] = {}
    for index, values in held["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            else:
                numbers.setdefault(str(index), {})[name] = value
    header = {"run": run, "state": state, "groups": held["param_groups"], "numbers": numbers}
    partial = path.with_name(path.name + ".partial")
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, partial, metadata={"trimtab": json.dumps(header, allow_nan=False)})
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def load_checkpoint(
    path: Path, *, model: nn.Module, optimizer: torch.optim.Optimizer, run: str
) -> dict[str, Any]:
    """Put the weights and the optimizer's state in place; returns the `state` that was saved.

    Raises:
        CheckpointError: the file cannot be read, or belongs to another run.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["trimtab"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(path.name, f"it cannot be read: {error}") from error
    if header["run"] != run:
        raise CheckpointError(path.name, "it belongs to another run")
    weights = _weights(model)
    with torch.no_grad():
        for name, tensor in weights.items():
            tensor.copy_(tensors.pop(f"model.{name}"))
    states: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        _, index, of = name.split(".", 2)
        states.setdefault(int(index), {})[of] = tensor
    for index, numbers in header["numbers"].items():
        states.setdefault(int(index), {}).update(numbers)
    optimizer.load_state_dict({"state": states, "param_groups": header["groups"]})
    state: dict[str, Any] = header["state"]
    return state


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}

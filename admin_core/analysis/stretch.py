"""A streamed profile on disk, between two layers: it goes on where it was, to the same numbers.

One safetensors file, tensors and, in its header, the rest as JSON:

    profiling.PASS.x, .memory, .dropout.DEVICE, .measured
    unperturbed.x, .memory, .shares
    perturbed.PASS.x, .changes
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from admin_core.analysis.streaming import Carried, StreamedModel
from admin_core.errors import CheckpointError


def save_stretch(path: Path, streamed: StreamedModel, *, run: str) -> None:
    """Replace the file at `path` in one go.

    Args:
        run: what the numbers belong to; only the same may go on from them.
    """
    done = [branch for branch in streamed.branches if branch in streamed.profiling[0].found.seen]
    tensors: dict[str, Tensor] = {}
    for number, passing in enumerate(streamed.profiling):
        tensors |= _carried(f"profiling.{number}", passing)
        tensors[f"profiling.{number}.measured"] = passing.found.measured(done)
        for device, state in enumerate(passing.dropout.state):
            tensors[f"profiling.{number}.dropout.{device}"] = state
    if streamed.amplification is not None:
        tensors |= _carried("unperturbed", streamed.unperturbed)
        tensors["unperturbed.shares"] = torch.stack([streamed.shares[b] for b in done])
        for number, moved in enumerate(streamed.perturbed):
            tensors |= _carried(f"perturbed.{number}", moved)
            tensors[f"perturbed.{number}.changes"] = torch.stack([moved.changes[b] for b in done])
    header = {"run": run, "layers_done": streamed.layers_done}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, partial, metadata={"trimtab": json.dumps(header, allow_nan=False)})
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def resume(path: Path, streamed: StreamedModel, *, run: str) -> None:
    """Put the passes of a fresh `streamed` where those at `path` were.

    Raises:
        CheckpointError: the file cannot be read, or belongs to another run.
    """
    header, tensors = _read(path, run)
    device = streamed.model.device
    streamed.layers_done = header["layers_done"]
    done = [b for _, of_layer in streamed.layers[: streamed.layers_done] for b in of_layer]
    for number, passing in enumerate(streamed.profiling):
        _carry_on(f"profiling.{number}", passing, tensors, device)
        measured = tensors[f"profiling.{number}.measured"].to(device)
        passing.found.resume(done, measured, d_model=streamed.model.spec.d_model)
        passing.dropout.state = [
            tensors[f"profiling.{number}.dropout.{place}"]
            for place in range(len(passing.dropout.state))
        ]
    if streamed.amplification is None:
        return
    _carry_on("unperturbed", streamed.unperturbed, tensors, device)
    streamed.shares = dict(zip(done, tensors["unperturbed.shares"].to(device), strict=True))
    for number, moved in enumerate(streamed.perturbed):
        _carry_on(f"perturbed.{number}", moved, tensors, device)
        changes = tensors[f"perturbed.{number}.changes"].to(device)
        moved.changes = dict(zip(done, changes, strict=True))


def _carried(name: str, carried: Carried) -> dict[str, Tensor]:
    held = {"x": carried.x, "memory": carried.memory}
    return {f"{name}.{what}": tensor for what, tensor in held.items() if tensor is not None}


def _carry_on(
    name: str, carried: Carried, tensors: Mapping[str, Tensor], device: torch.device
) -> None:
    x, memory = tensors.get(f"{name}.x"), tensors.get(f"{name}.memory")
    carried.x = None if x is None else x.to(device)
    carried.memory = None if memory is None else memory.to(device)


def _read(path: Path, run: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["trimtab"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(path.name, f"it cannot be read: {error}") from error
    if header["run"] != run:
        raise CheckpointError(path.name, "it belongs to another run")
    return header, tensors

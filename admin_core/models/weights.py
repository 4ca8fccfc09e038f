"""Given weights in place of fresh ones, from a safetensors file: no pickle is ever read."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from admin_core.errors import WeightsError

SHOWN = 3
"""Names of tensors that an error lists; it counts the others."""


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill every parameter of `model` from the file, in place.

    Raises:
        WeightsError: the file cannot be read, or does not hold exactly the model's tensors in
            their shapes; nothing was changed.
    """
    try:
        given = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} is no safetensors file that can be read: {error}.") from error
    wanted = dict(model.named_parameters())
    _refuse_any(sorted(wanted.keys() - given.keys()), f"{path} lacks")
    _refuse_any(sorted(given.keys() - wanted.keys()), f"{path} holds, but the model lacks,")
    misshapen = [
        f"{name} {tuple(given[name].shape)} for {tuple(parameter.shape)}"
        for name, parameter in wanted.items()
        if given[name].shape != parameter.shape
    ]
    _refuse_any(misshapen, f"{path} has another shape for")
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(given[name])


def _refuse_any(names: list[str], what: str) -> None:
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise WeightsError(f"{what} {', '.join(names[:SHOWN])}{more}.")

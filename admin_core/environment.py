"""What the numbers of a report depend on beside the spec."""

import platform
from collections.abc import Mapping
from importlib.metadata import version

import torch
from torch import nn

from admin_core.report import Environment


def environment(
    model: nn.Module,
    *,
    device: torch.device,
    seed: int,
    data_sha256: str | None,
    num_tokens: int,
    dropout_active: bool,
    durations_seconds: Mapping[str, float],
    streamed: bool = False,
) -> Environment:
    """This process's, and the model's; the other arguments are fields of the section."""
    first = next(iter(model.parameters()), None)
    return Environment(
        trimtab=version("trimtab"),
        python=platform.python_version(),
        torch=torch.__version__,
        device=str(device),
        dtype="float32" if first is None else str(first.dtype).removeprefix("torch."),
        seed=seed,
        data_sha256=data_sha256,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        num_tokens=num_tokens,
        dropout_active=dropout_active,
        durations_seconds=dict(durations_seconds),
        streamed=streamed,
    )

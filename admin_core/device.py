"""Which device the work runs on."""

import torch


def resolve_device(name: str) -> torch.device:
    """The device that ``auto``, ``cpu`` or ``cuda:N`` stands for; ``auto`` is the first GPU where
    there is one.

    Raises:
        ValueError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"There is no device {name} here: {torch.cuda.device_count()} GPUs found. "
            "Set TRIMTAB_DEVICE to auto, cpu or cuda:N."
        )
    return device

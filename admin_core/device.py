"""Which device the work runs on."""

import torch

from admin_core.errors import NoSuchDeviceError


def resolve_device(name: str) -> torch.device:
    """The device that ``auto``, ``cpu`` or ``cuda:N`` stands for; ``auto`` is the first GPU where
    there is one.

    Raises:
        NoSuchDeviceError: it is not in this machine.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise NoSuchDeviceError(name, torch.cuda.device_count())
    return device

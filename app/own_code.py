"""The caller's own model and batch, by the names of the functions that make them."""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from admin_core.data.batch import Batch


class OwnCodeError(Exception):
    """What a name stands for cannot be loaded, or raises; the message says what and why."""


def own_model(name: str) -> "nn.Module":
    """The network that ``package.module:function`` returns.

    Raises:
        OwnCodeError: the name is none, nothing is there, the code raises, or it returns none.
    """
    from torch import nn

    found = _call(name, "--module")
    if not isinstance(found, nn.Module):
        raise OwnCodeError(
            f"--module {name} returns a {type(found).__name__}, where a torch.nn.Module was "
            "expected."
        )
    return found


def own_batch(name: str) -> "Batch":
    """The batch that ``package.module:function`` returns.

    Raises:
        OwnCodeError: the name is none, nothing is there, the code raises, or it returns none.
    """
    from admin_core.sources.given import as_batch

    found = _call(name, "--batch")
    try:
        return as_batch(found)
    except TypeError as error:
        raise OwnCodeError(f"--batch {name}: {error}") from error


def _call(name: str, option: str) -> Any:
    """What the function returns. The working directory is looked in first, as by ``python -m``;
    what is no function is returned as it is."""
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise OwnCodeError(f"{option} {name}: expected package.module:function.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for step in attribute.split("."):
            found = getattr(found, step)
    except (ImportError, AttributeError) as error:
        raise OwnCodeError(f"{option} {name} cannot be loaded: {error}.") from error
    except Exception as error:
        raise OwnCodeError(_raised(option, name, "importing it", error)) from error
    if not _is_maker(found):
        return found
    try:
        return found()
    except Exception as error:
        raise OwnCodeError(_raised(option, name, "calling it", error)) from error


def _is_maker(found: Any) -> bool:
    """Whether it makes what is wanted; a network is callable, and is what is wanted itself."""
    import torch

    return callable(found) and not isinstance(found, torch.nn.Module)


def _raised(option: str, name: str, doing: str, error: Exception) -> str:
    return f"{option} {name}: {doing} raises {type(error).__name__}: {error}."

"""Put a batch through a model, whoever wrote it."""

import traceback
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from admin_core.data.batch import Batch
from admin_core.errors import AdminCoreError, ForwardError, UnavailableError
from admin_core.models.transformer import Transformer
from admin_core.residual import ResidualBranch, SubLayerBranch

_OURS = Path(__file__).parent
"""Where this package's code lies."""

_HANDS_ON = (
    "recognition.py",
    "attention_watch.py",
    "attention_entropy.py",
    "trace.py",
    "passes.py",
)
"""Files of it through which a watched model's own calls go."""


def run(model: nn.Module, batch: Batch, branches: Sequence[ResidualBranch]) -> None:
    """One forward pass in the model's own mode, for what is seen of `branches` on the way."""
    if isinstance(model, Transformer) and all(isinstance(b, SubLayerBranch) for b in branches):
        # The built-in Transformer can be spared its projection to logits. Whose branches were
        # found is followed from the call of the whole network on.
        model.states(**batch.inputs)
    else:
        model(*batch.arguments, **batch.inputs)


def check_seen(branches: Sequence[ResidualBranch], seen: Collection[ResidualBranch]) -> None:
    """Return if every branch was seen in a pass.

    Raises:
        UnavailableError: one was not.
    """
    for branch in branches:
        if branch not in seen:
            raise UnavailableError(
                f"The addition at {branch.path} did not take place in a pass, though it did when "
                "the branches were looked for: which way the network takes depends on chance or on "
                "its numbers, as where layers are dropped. Switch that off to diagnose it."
            )


@contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Within the block the model is in training mode or not; afterwards each of its modules as it
    was."""
    before = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, was_training in before.items():
            module.training = was_training


@contextmanager
def failures_told(model: nn.Module) -> Iterator[None]:
    """Within the block, what somebody's model raises in its forward pass becomes a `ForwardError`
    with the path of the innermost module that was at work.

    What this package raises, and memory that runs out, stay what they are.
    """
    try:
        yield
    except (AdminCoreError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        found = _module_at_work(model, error)
        if found is None:
            raise
        path, module = found
        message = f"{type(error).__name__}: {error}"
        raise ForwardError(path, type(module).__name__, message) from error


def _module_at_work(model: nn.Module, error: Exception) -> tuple[str, nn.Module] | None:
    """The innermost module of `model` in whose code the error came up, with its path; None where
    it came up in this package's own."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    raised_in = Path(frames[-1].f_code.co_filename)
    if raised_in.is_relative_to(_OURS) and raised_in.name not in _HANDS_ON:
        return None
    paths = {module: path for path, module in model.named_modules()}
    for frame in reversed(frames):
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and owner in paths:
            return paths[owner], owner
    return None

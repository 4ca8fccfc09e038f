"""Run networks as they are written, compiled or not."""

import sys
from contextlib import AbstractContextManager, nullcontext

import torch


def uncompiled() -> AbstractContextManager[object]:
    """A block in which compiled code runs as it was before it was compiled."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()  # nothing is compiled yet, and loading the compiler takes seconds
    eager: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return eager

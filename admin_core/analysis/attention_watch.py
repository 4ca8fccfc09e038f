"""The queries and keys of every attention that a network computes with torch's own function.

Networks name their attention as they like, but nearly all of them call
`torch.nn.functional.scaled_dot_product_attention` in the end, with queries and keys as they enter
the dot product, rotated and normed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from admin_core.analysis.attention_logits import LogitRange, logit_range
from admin_core.models.attention import Attention
from admin_core.report import StackName
from admin_core.residual import ResidualBranch

OnLogits = Callable[[StackName, str, LogitRange], None]
"""Called with the stack, the path of the module that attends, and what was found."""


@contextmanager
def watching_attention(branches: Sequence[ResidualBranch], see: OnLogits) -> Iterator[None]:
    """Within the block, each attention in a branch shows its logits; the built-in Transformer's,
    which says by itself what it attends with, excepted."""
    inside: list[tuple[StackName, str]] = []

    def enter(stack: StackName, path: str) -> Callable[..., None]:
        return lambda *_: inside.append((stack, path))

    def leave(*_: Any) -> None:
        inside.pop()

    with ExitStack() as hooks:
        for branch in branches:
            for path, module in branch.modules.items():
                if any(module.children()) and not isinstance(module, Attention):
                    hooks.enter_context(module.register_forward_pre_hook(enter(branch.stack, path)))
                    hooks.enter_context(module.register_forward_hook(leave, always_call=True))
        hooks.enter_context(_AttentionMode(inside, see))
        yield


class _AttentionMode(TorchFunctionMode):
    """Sees each call of torch's attention, and lets it be."""

    def __init__(self, inside: Sequence[tuple[StackName, str]], see: OnLogits) -> None:
        super().__init__()
        self.inside, self.see = inside, see

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: tuple[Any, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        options = options or {}
        if function is F.scaled_dot_product_attention and self.inside:
            with torch._C.DisableTorchFunction():
                self._look(*arguments, **options)
        return function(*arguments, **options)

    def _look(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        **_: Any,
    ) -> None:
        if query.ndim != 4 or key.ndim != 4:
            return
        found = logit_range(
            query.detach(),
            key.detach(),
            causal=is_causal,
            mask=None if attn_mask is None else attn_mask.detach(),
            scale=scale,
        )
        self.see(*self.inside[-1], found)

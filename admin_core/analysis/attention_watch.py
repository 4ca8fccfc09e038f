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

OnCall = Callable[[Tensor, Tensor, Tensor | None, bool, float | None], None]
"""Called with queries, keys, mask, whether it is causal, and scale of one attention."""


@contextmanager
def watching_attention(branches: Sequence[ResidualBranch], see: OnLogits) -> Iterator[None]:
    """Within the block, each attention in a branch shows its logits; the built-in Transformer's,
    which says by itself what it attends with, excepted."""
    inside: list[tuple[StackName, str]] = []

    def enter(stack: StackName, path: str) -> Callable[..., None]:
        return lambda *_: inside.append((stack, path))

    def leave(*_: Any) -> None:
        inside.pop()

    def look(
        query: Tensor, key: Tensor, mask: Tensor | None, causal: bool, scale: float | None
    ) -> None:
        if inside:
            see(*inside[-1], logit_range(query, key, causal=causal, mask=mask, scale=scale))

    with ExitStack() as hooks:
        for branch in branches:
            for path, module in branch.modules.items():
                if any(module.children()) and not isinstance(module, Attention):
                    hooks.enter_context(module.register_forward_pre_hook(enter(branch.stack, path)))
                    hooks.enter_context(module.register_forward_hook(leave, always_call=True))
        hooks.enter_context(AttentionMode(look))
        yield


class AttentionMode(TorchFunctionMode):
    """Sees each call of torch's attention that has batch, heads, places and features, and lets it
    be."""

    def __init__(self, look: OnCall) -> None:
        super().__init__()
        self.look = look

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: tuple[Any, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        options = options or {}
        if function is F.scaled_dot_product_attention:
            with torch._C.DisableTorchFunction():
                self._see(*arguments, **options)
        return function(*arguments, **options)

    def _see(
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
        if query.ndim == 4 and key.ndim == 4:
            mask = None if attn_mask is None else attn_mask.detach()
            self.look(query.detach(), key.detach(), mask, is_causal, scale)

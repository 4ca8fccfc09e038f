"""What one forward and backward pass shows of each stack.

Notation:
    g_i       gradient of the weight matrices of branch i, as one vector
    x_i       state after sub-layer i
    u_t       state of token t after the last sub-layer, divided by its norm
"""

import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from admin_core.report import Role, StackName
from admin_core.residual import ResidualBranch, at_states
from admin_core.verdict.attention_entropy import AttentionWatch

MAX_PLACES = 512
"""Places of the batch that similarity is taken over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackProbe:
    """One stack after the steps."""

    gradient_decay: float | None
    """log10(|g_N| / |g_1|) over the feed-forward branches, or all where there are none; None
    where one of them is zero."""

    gradient_spread: float | None
    """log10 of the largest |g_i| over the smallest, over the same branches."""

    state_gradient_decay: float | None
    """log10(|dL/dx_N| / |dL/dx_1|)."""

    token_similarity: float
    """Mean of u_s . u_t over all pairs of places s and t: 1 when all states are one."""


class Look:
    """Everything that is read off the states and gradients of one pass."""

    def __init__(self, branches: Sequence[ResidualBranch]) -> None:
        self.branches = branches
        self.last = {branch.stack: branch for branch in branches}
        self.similarity: dict[StackName, float] = {}
        self.state_gradients: dict[ResidualBranch, float] = {}
        self.stacks: dict[StackName, StackProbe] = {}
        self.attention = AttentionWatch()

    def watch(self, hooks: ExitStack) -> None:
        """Have the pass looked at until `hooks` close."""
        hooks.enter_context(at_states(self.branches, self._see_state))
        hooks.enter_context(self.attention)

    def keep(self) -> None:
        """Read the gradients off the parameters, after the backward pass."""
        for stack in dict.fromkeys(branch.stack for branch in self.branches):
            own = [branch for branch in self.branches if branch.stack is stack]
            written = [branch for branch in own if branch.role is Role.FEED_FORWARD] or own
            norms = [
                norm(weight.grad for weight in branch.parameters.values() if weight.ndim > 1)
                for branch in written
            ]
            states = [self.state_gradients.get(branch, 0.0) for branch in own]
            self.stacks[stack] = StackProbe(
                gradient_decay=_log_ratio(norms[-1], norms[0]),
                gradient_spread=_log_ratio(max(norms), min(norms)),
                state_gradient_decay=_log_ratio(states[-1], states[0]),
                token_similarity=self.similarity.get(stack, 0.0),
            )

    def _see_state(self, branch: ResidualBranch, state: Tensor) -> None:
        if branch is self.last[branch.stack]:
            self.similarity[branch.stack] = token_similarity(state)
        if state.requires_grad:
            state.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: self.state_gradients.update({branch: norm([gradient])})
            )


def token_similarity(state: Tensor) -> float:
    """Mean cosine between the states at two different places of the batch.

        mean over s != t of u_s . u_t = (|sum_t u_t|^2 - n) / (n (n - 1))

    Args:
        state: batch, places in one or more axes, features.
    """
    u = F.normalize(state.detach().float().flatten(0, -2)[:MAX_PLACES], dim=-1)
    n = len(u)
    return float((u.sum(0).square().sum() - n) / max(n * (n - 1), 1))


def norm(tensors: Iterable[Tensor | None]) -> float:
    """Of all elements together, in float64."""
    norms = [torch.linalg.vector_norm(t, dtype=torch.float64) for t in tensors if t is not None]
    return float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0


def _log_ratio(over: float, under: float) -> float | None:
    if not (0 < over < math.inf and 0 < under < math.inf):
        return None
    return math.log10(over / under)

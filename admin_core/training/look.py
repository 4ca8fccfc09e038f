"""One close look at a training step: its activations, its gradients, its update.

Hooks are in place for this one step alone, so that all others run at full speed. Nothing is
changed, and no random number is drawn. Evaluation passes in between are not looked at; where
gradients are accumulated, activations are those of the last batch, and so they are under
`torch.no_grad`. All numbers stay on the device until the step is over.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from admin_core.analysis.attention_logits import logit_range
from admin_core.models.attention import Attention
from admin_core.race_report import WatchPoint
from admin_core.residual import ResidualBranch, at_additions

SEQUENCES = 4
"""Of the batch, that dependency and attention logits are taken over."""

NEVER = 0.01
"""A unit that acts on less than this share of the tokens counts as one that never does."""

ACTIVE = 1e-6
"""The magnitude from which an activation's output acts."""

TANH_ENDS = (-9.4999, 9.4999)
SIGMOID_ENDS = (-23.0, 16.99999)
"""Inputs beyond these are saturated; with NEVER, the defaults of SageMaker Debugger."""


def parameter_groups(
    model: nn.Module, branches: Sequence[ResidualBranch]
) -> dict[str, list[nn.Parameter]]:
    """The trainable parameters of each sub-layer by its path, and of each module outside them; a
    tied parameter under its first path."""
    paths = [branch.path for branch in branches]
    owners = {weight: b.path for b in reversed(branches) for weight in b.parameters.values()}
    groups: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        module = name.rpartition(".")[0]
        owner = owners.get(parameter) or next(
            (path for path in paths if name.startswith(f"{path}.")), module
        )
        groups.setdefault(owner, []).append(parameter)
    return groups


class Look:
    """Open it before the step's forward pass, close it after the optimizer's step."""

    def __init__(
        self,
        model: nn.Module,
        branches: Sequence[ResidualBranch],
        groups: Mapping[str, Sequence[nn.Parameter]],
    ) -> None:
        self.model = model
        self.groups = groups
        self.gradients: dict[str, Tensor] = {}
        self.ratios: dict[str, Tensor] = {}
        self.before: dict[str, list[Tensor]] = {}
        self.dependency: dict[str, Tensor] = {}
        self.attention: dict[str, Tensor] = {}
        self.dead: dict[str, Tensor] = {}
        self.saturated: dict[str, Tensor] = {}
        self.output_logit: Tensor | None = None
        self.hooks = ExitStack()
        self.hooks.enter_context(at_additions(branches, self._see_addition))
        for path, module in model.named_modules():
            see = self._observer(path, module)
            if see is not None:
                self.hooks.enter_context(module.register_forward_hook(see, with_kwargs=True))
        self.hooks.enter_context(model.register_forward_hook(self._see_output))

    def close(self) -> None:
        """Take every hook away."""
        self.hooks.close()

    @torch.no_grad()
    def before_update(self) -> None:
        """Measure the gradients, and keep the weights that the optimizer is about to change."""
        for path, parameters in self.groups.items():
            with_gradient = [p for p in parameters if p.grad is not None]
            if with_gradient:
                self.gradients[path] = _norm([p.grad for p in with_gradient])
                self.before[path] = [p.detach().clone() for p in with_gradient]

    @torch.no_grad()
    def after_update(self) -> None:
        """Measure what the optimizer has done."""
        for path, before in self.before.items():
            after = [p for p in self.groups[path] if p.grad is not None]
            change = [new - old for new, old in zip(after, before, strict=True)]
            self.ratios[path] = _norm(change) / _norm(before)
        self.before.clear()

    def point(self, step: int) -> WatchPoint:
        """All that was seen, on the CPU."""
        output_logit = None if self.output_logit is None else _finite(float(self.output_logit))
        return WatchPoint(
            step=step,
            gradient_norm=_floats(self.gradients),
            update_ratio=_floats(self.ratios),
            dependency=_floats(self.dependency),
            largest_attention_logit=_floats(self.attention),
            largest_output_logit=output_logit,
            dead_units={path: float(share) for path, share in self.dead.items()},
            saturated_units={path: float(share) for path, share in self.saturated.items()},
        )

    @torch.no_grad()
    def _see_addition(self, branch: ResidualBranch, shortcut: Tensor, output: Tensor) -> None:
        if not self.model.training:
            return
        x, f = branch.operands(shortcut[:SEQUENCES], output[:SEQUENCES])
        total = (x + f).float().var(correction=0)
        self.dependency[branch.path] = f.float().var(correction=0) / total

    def _observer(self, path: str, module: nn.Module) -> Callable[..., None] | None:
        """What to call after each forward pass of `module`, where there is something to see."""
        if isinstance(module, Attention):
            return partial(self._see_attention, path)
        if isinstance(module, nn.ReLU | nn.GELU | nn.SiLU):
            return partial(self._see_activation, path)
        if isinstance(module, nn.Tanh | nn.Sigmoid):
            return partial(self._see_squashing, path)
        return None

    def _see_activation(self, path: str, _: nn.Module, __: Any, ___: Any, output: Tensor) -> None:
        if self.model.training:
            self.dead[path] = _never(output.detach().abs() > ACTIVE)

    def _see_squashing(self, path: str, module: nn.Module, args: Any, _: Any, __: Any) -> None:
        if self.model.training:
            low, high = TANH_ENDS if isinstance(module, nn.Tanh) else SIGMOID_ENDS
            x = args[0].detach()
            self.saturated[path] = _never((x > low) & (x < high))

    @torch.no_grad()
    def _see_attention(
        self, path: str, attention: Attention, args: Any, kwargs: Any, _: Any
    ) -> None:
        if not self.model.training:
            return
        given = dict(zip(("x", "memory", "padding"), args, strict=False)) | kwargs
        x, memory, padding = given["x"], given.get("memory"), given.get("padding")
        memory = None if memory is None else memory[:SEQUENCES]
        padding = None if padding is None else padding[:SEQUENCES]
        queries, keys = attention.queries_and_keys(x[:SEQUENCES], memory)
        found = logit_range(
            queries,
            keys,
            causal=attention.causal,
            padding=padding,
            padded_queries=padding is not None and memory is None,
        )
        self.attention[path] = found.largest.max()

    @torch.no_grad()
    def _see_output(self, _: nn.Module, __: Any, output: Any) -> None:
        logits = getattr(output, "logits", output[0] if isinstance(output, tuple) else output)
        if self.model.training and isinstance(logits, Tensor):
            self.output_logit = logits.detach().abs().amax()


def _never(acts: Tensor) -> Tensor:
    """The share of units, along the last axis, that act on less than NEVER of the positions."""
    share = acts.flatten(0, -2).float().mean(0)
    return (share < NEVER).float().mean()


def _norm(tensors: Sequence[Tensor | None]) -> Tensor:
    """Of all elements together; float64, so that squares neither vanish nor overflow."""
    norms = [torch.linalg.vector_norm(t, dtype=torch.float64) for t in tensors if t is not None]
    whole: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return whole


def _floats(found: Mapping[str, Tensor]) -> dict[str, float | None]:
    if not found:
        return {}
    values = torch.stack([value.double() for value in found.values()]).tolist()
    return {path: _finite(value) for path, value in zip(found, values, strict=True)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

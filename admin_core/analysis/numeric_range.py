"""How far the numbers of one training pass are from where their formats end.

Attention logits that grow, entropy that collapses, output logits that diverge and gradients that
sink towards Adam's epsilon are how models of otherwise sound design fail at a large learning rate
(Wortsman et al. 2023, arXiv:2309.14322). The thresholds are ours:

    logits         128 or more: from there on bfloat16's numbers lie a whole nat apart, and cannot
                   tell two keys, or two tokens, of e times different probability apart
    entropy        below a tenth of that of even attention, on average over queries
    activations    a tenth of the format's largest number or more: less than a decade of room
    gradient RMS   below ten times epsilon, which then takes about a tenth off Adam's step, or more
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import torch
from torch import Tensor, nn

from admin_core.analysis.attention_logits import LogitRange, logit_range
from admin_core.analysis.attention_watch import watching_attention
from admin_core.analysis.stability import rule_check
from admin_core.analysis.training_pass import norm
from admin_core.errors import NoLossError, NonFiniteError
from admin_core.models.attention import Attention
from admin_core.report import (
    AttentionRange,
    Finding,
    NumericRangeSection,
    Role,
    StackName,
    SublayerRange,
)
from admin_core.residual import ResidualBranch
from admin_core.spec import Optimizer, TrainingSpec
from admin_core.training.loss import logits_of

LOGIT_LIMIT = 128.0
ENTROPY_LIMIT = 0.1
FORMAT_SHARE_LIMIT = 0.1
EPSILON_LIMIT = 10.0

FLOAT16_MAX = torch.finfo(torch.float16).max
BFLOAT16_MAX = torch.finfo(torch.bfloat16).max


class RangeWatch:
    """Sees the activations, attention logits and output logits of one training pass."""

    def __init__(self, model: nn.Module, branches: Sequence[ResidualBranch]) -> None:
        self.model = model
        self.branches = branches
        self.activations: dict[ResidualBranch, dict[str, Tensor]] = {b: {} for b in branches}
        """Largest magnitude by the path of the module, in the order of the pass."""
        self.logits: dict[str, tuple[StackName, LogitRange]] = {}
        self.output_logit = torch.zeros(())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hooks on every module of the branches that has none inside, every attention, and the
        model's output."""
        with ExitStack() as hooks:
            for branch in self.branches:
                for path, module in branch.modules.items():
                    if isinstance(module, Attention):
                        see = self._see_attention(branch.stack, path)
                        hooks.enter_context(module.register_forward_pre_hook(see))
                    elif not any(module.children()) and not isinstance(module, nn.Identity):
                        hook = self._see_output(branch, path)
                        hooks.enter_context(module.register_forward_hook(hook))
            hooks.enter_context(watching_attention(self.branches, self._see_logits_of))
            hooks.enter_context(self.model.register_forward_hook(self._see_logits))
            yield

    @torch.no_grad()
    def section(self, training: TrainingSpec) -> NumericRangeSection:
        """What was seen, and what the gradients of the watched pass are next to Adam's epsilon,
        while the parameters hold them.

        Raises:
            NonFiniteError: an activation is not finite; names the module that put it out.
        """
        sublayers = [
            self._sublayer(branch, training) for branch in self.branches if self.activations[branch]
        ]
        attention = [
            AttentionRange(
                stack=stack,
                path=path,
                largest_logit=seen.largest.tolist(),
                entropy=seen.entropy.tolist(),
                relative_entropy=(
                    None if seen.relative_entropy is None else seen.relative_entropy.tolist()
                ),
            )
            for path, (stack, seen) in self.logits.items()
        ]
        output_logit = self.output_logit.item()
        return NumericRangeSection(
            sublayers=sublayers,
            attention=attention,
            largest_output_logit=output_logit,
            checks=[
                rule_check("AttentionLogit", [_logit(a) for a in attention]),
                rule_check("AttentionEntropy", [_entropy(a) for a in attention]),
                rule_check("OutputLogit", [_output_logit(output_logit)]),
                rule_check(
                    "Float16Range", [_format(s, "float16", s.float16_share) for s in sublayers]
                ),
                rule_check(
                    "Bfloat16Range", [_format(s, "bfloat16", s.bfloat16_share) for s in sublayers]
                ),
                rule_check("GradientOverEpsilon", [_epsilon(s, training) for s in sublayers]),
            ],
        )

    def _see_output(self, branch: ResidualBranch, path: str) -> Callable[..., None]:
        seen = self.activations[branch]

        def see(_module: nn.Module, _arguments: object, output: object) -> None:
            if not isinstance(output, Tensor) or not output.is_floating_point():
                return
            largest = largest_magnitude(output)
            seen[path] = seen[path].maximum(largest) if path in seen else largest

        return see

    def _see_attention(self, stack: StackName, path: str) -> Callable[..., None]:
        @torch.no_grad()
        def see(
            attention: Attention,
            arguments: tuple[Tensor, Tensor | None, Tensor | None],
        ) -> None:
            x, memory, padding = arguments
            queries, keys = attention.queries_and_keys(x, memory)
            self.logits[path] = (
                stack,
                logit_range(
                    queries,
                    keys,
                    causal=attention.causal,
                    padding=padding,
                    padded_queries=memory is None,
                ),
            )

        return see

    def _see_logits_of(self, stack: StackName, path: str, found: LogitRange) -> None:
        self.logits[path] = stack, found

    def _see_logits(self, _model: nn.Module, _arguments: object, output: object) -> None:
        with suppress(NoLossError):
            self.output_logit = largest_magnitude(logits_of(output))

    def unavailable(self) -> dict[str, str]:
        """What the watched pass did not show, and why."""
        attends = any(
            branch.role in (Role.SELF_ATTENTION, Role.CROSS_ATTENTION) for branch in self.branches
        )
        if not attends or self.logits:
            return {}
        return {
            "numeric_range.attention": "No attention of this network calls torch's "
            "scaled_dot_product_attention, where logits could be seen."
        }

    def _sublayer(self, branch: ResidualBranch, training: TrainingSpec) -> SublayerRange:
        seen = self.activations[branch]
        magnitudes = torch.stack(list(seen.values())).tolist()
        for path, magnitude in zip(seen, magnitudes, strict=True):
            if not math.isfinite(magnitude):
                dtype = str(branch.dtype).removeprefix("torch.")
                raise NonFiniteError(f"The output of {path}", dtype)
        largest, path = max(zip(magnitudes, seen, strict=True))
        return SublayerRange(
            index=branch.index,
            stack=branch.stack,
            path=branch.path,
            largest_activation=largest,
            largest_activation_path=path,
            float16_share=largest / FLOAT16_MAX,
            bfloat16_share=largest / BFLOAT16_MAX,
            gradient_rms_over_epsilon=_gradient_rms_over_epsilon(branch, training),
        )


def largest_magnitude(x: Tensor) -> Tensor:
    """max |x|, a scalar in float32, without a copy of x; NaN where there is one."""
    low, high = torch.aminmax(x.detach())
    return torch.maximum(-low, high).float()


def _gradient_rms_over_epsilon(branch: ResidualBranch, training: TrainingSpec) -> float | None:
    """The smallest over the branch's weight matrices; a gradient of exactly zero takes no step,
    with or without epsilon, and is left out."""
    if training.optimizer is Optimizer.SGD:
        return None
    gradients = [w.grad for w in branch.parameters.values() if w.ndim >= 2]
    sizes = [norm(g) / math.sqrt(g.numel()) for g in gradients if g is not None]
    sizes = [size for size in sizes if 0 < size < math.inf]
    return min(sizes) / training.epsilon if sizes else None


def _logit(attention: AttentionRange) -> Finding | None:
    measured = max(attention.largest_logit)
    if measured < LOGIT_LIMIT:
        return None
    head = attention.largest_logit.index(measured)
    return Finding(
        rule="AttentionLogit",
        path=f"{attention.path} head {head}",
        measured=measured,
        threshold=LOGIT_LIMIT,
        formula="largest |q k / sqrt(d_head)| >= threshold",
        explanation=f"Head {head} reaches logits of {measured:.3g}, where bfloat16 rounds by a nat "
        "and the softmax passes hardly any gradient.",
        suggestion="Use qk_norm, or smaller query and key weights.",
    )


def _entropy(attention: AttentionRange) -> Finding | None:
    if attention.relative_entropy is None:
        return None
    measured = min(attention.relative_entropy)
    if measured >= ENTROPY_LIMIT:
        return None
    head = attention.relative_entropy.index(measured)
    return Finding(
        rule="AttentionEntropy",
        path=f"{attention.path} head {head}",
        measured=measured,
        threshold=ENTROPY_LIMIT,
        formula="mean over queries of H / ln(keys seen) < threshold",
        explanation=f"Head {head} looks at a single key almost everywhere: its attention has "
        "collapsed.",
        suggestion="Use qk_norm, or smaller query and key weights.",
    )


def _output_logit(measured: float) -> Finding | None:
    if measured < LOGIT_LIMIT:
        return None
    return Finding(
        rule="OutputLogit",
        path="output",
        measured=measured,
        threshold=LOGIT_LIMIT,
        formula="largest |output logit| >= threshold",
        explanation=f"The output reaches logits of {measured:.3g}, where bfloat16 rounds by a nat; "
        "a fresh model should be unsure.",
        suggestion="Start the output projection smaller, put a norm before it, or add a z-loss.",
    )


def _format(sublayer: SublayerRange, name: str, share: float) -> Finding | None:
    if share < FORMAT_SHARE_LIMIT:
        return None
    return Finding(
        rule=f"{name.capitalize()}Range",
        path=sublayer.largest_activation_path,
        measured=share,
        threshold=FORMAT_SHARE_LIMIT,
        formula=f"largest |activation| / largest {name} >= threshold",
        explanation=f"It puts out {sublayer.largest_activation:.3g}, {100 * share:.3g} % of what "
        f"{name} can hold.",
        suggestion="Compute in bfloat16 or float32, put a norm before it, or start its weights "
        "smaller.",
    )


def _epsilon(sublayer: SublayerRange, training: TrainingSpec) -> Finding | None:
    measured = sublayer.gradient_rms_over_epsilon
    if measured is None or measured >= EPSILON_LIMIT:
        return None
    return Finding(
        rule="GradientOverEpsilon",
        path=sublayer.path,
        measured=measured,
        threshold=EPSILON_LIMIT,
        formula="root mean square of the gradient / epsilon < threshold",
        explanation=f"A gradient of this sub-layer is {measured:.3g} times epsilon, which takes "
        f"{100 / (1 + measured):.2g} % off its update.",
        suggestion=f"Set training.epsilon to {training.epsilon * measured / 100:.1g} or less.",
    )

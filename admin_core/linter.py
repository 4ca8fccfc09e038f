"""What people get wrong when they write an initialisation scheme into a network themselves.

    AlphaOnBranch          x_i = LN(x + alpha f): a scale above 1 stands on the branch
    AlphaBetaSwapped       x_i = LN(beta x + f): the gain of the weights stands on the shortcut
    WrongCount             alpha is that of another number of layers
    TwoSchemes             two of them scale the same addition, or alpha scales a stream that no
                           norm holds, which grows with its power
    OmegaUnderWeightDecay  the optimizer pulls omegas to 0
    MissingFinalNorm       a Pre-LN stack ends without a norm

Only what a network says about itself is looked at: where its additions are and what they are scaled
by. A scale that follows no known formula is taken for the author's own.

Sources: DeepNorm, Wang et al. 2022, arXiv:2203.00555; Liu et al., EMNLP 2020; the issues of
microsoft/unilm (663), microsoft/torchscale (64) and labmlai/annotated_deep_learning (145).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import nn

from admin_core.report import Finding, NormPlacement, Role
from admin_core.residual import DiscoveredBranch, ResidualMap, discover
from admin_core.residual.discovered import OMEGA
from admin_core.residual.passes import Inputs
from admin_core.schemes import closed_form_omega, deepnorm_alpha, deepnorm_beta
from admin_core.spec import OutputChangeScale, Stack

CLOSE = 0.01
"""Relative distance within which a scale is the one of a formula."""

UNNORMED = (NormPlacement.PRE, NormPlacement.SANDWICH, NormPlacement.OUTPUT, NormPlacement.NONE)


class LintRule(StrEnum):
    """What can be wrong."""

    ALPHA_ON_BRANCH = "AlphaOnBranch"
    ALPHA_BETA_SWAPPED = "AlphaBetaSwapped"
    WRONG_COUNT = "WrongCount"
    TWO_SCHEMES = "TwoSchemes"
    OMEGA_UNDER_WEIGHT_DECAY = "OmegaUnderWeightDecay"
    MISSING_FINAL_NORM = "MissingFinalNorm"


@dataclass(frozen=True, slots=True)
class _Counts:
    """Layers of the network's stacks; None where it has no such stack."""

    encoder: int | None
    decoder: int | None

    def of(self, stack: Stack) -> int:
        return (self.encoder if stack is Stack.ENCODER else self.decoder) or 0

    def with_layers(self, stack: Stack, layers: int) -> "_Counts":
        if stack is Stack.ENCODER:
            return _Counts(layers, self.decoder)
        return _Counts(self.encoder, layers)


def lint(
    model: nn.Module, inputs: Inputs, optimizer: torch.optim.Optimizer | None = None
) -> list[Finding]:
    """What is wrong with the schemes in a network; empty where nothing is.

    Args:
        model: any network; it is not changed.
        inputs: a batch as it takes it, by name or in order; only its shapes matter.
        optimizer: the one that will train it, to look at its weight decay.

    Raises:
        ForwardError: the forward raises on these inputs.
    """
    found = discover(model, inputs)
    return [*_scales(found), *_final_norms(found), *_decay(found, optimizer)]


def _scales(found: ResidualMap) -> Iterator[Finding]:
    counts = _counts(found)
    for name, branches in found.stacks.items():
        stack = Stack(name) if name in list(Stack) else Stack.ENCODER
        known = counts if name in list(Stack) else _Counts(_layers(branches), None)
        first = branches[0]
        twice = [branch for branch in branches if _has_two_schemes(branch)]
        alpha, on_branch = _constant(first.shortcut_factors), _constant(first.branch_factors)
        if twice:
            yield _two_schemes(twice[0])
        elif first.norm_placement is not NormPlacement.POST:
            if alpha is not None and alpha > 1:
                yield _growing(first, alpha, len(branches))
        elif alpha is None and on_branch is not None and on_branch > 1:
            yield _alpha_on_branch(first, on_branch)
        elif alpha is not None:
            yield from _count(first, alpha, stack, known, len(branches))


def _has_two_schemes(branch: DiscoveredBranch) -> bool:
    """Whether the shortcut is scaled twice, or the shortcut and, by a parameter, the branch too."""
    on_shortcut = [*branch.shortcut_factors, *([OMEGA] if branch.omega is not None else [])]
    kinds = {type(factor) for factor in on_shortcut}
    gated = any(isinstance(factor, str) for factor in branch.branch_factors)
    return len(kinds) > 1 or bool(on_shortcut and gated)


def _two_schemes(branch: DiscoveredBranch) -> Finding:
    scales = [*branch.shortcut_factors, *branch.branch_factors]
    if branch.omega is not None:
        scales.append(f"{branch.norm_path}.{OMEGA}")
    named = ", ".join(str(scale) for scale in scales)
    return Finding(
        rule=LintRule.TWO_SCHEMES,
        path=branch.path,
        measured=len(scales),
        threshold=1.0,
        formula="scales on one addition > 1",
        explanation=f"More than one scheme scales the addition in {branch.addition_path}: {named}.",
        suggestion="Keep one of them; each was made to hold the variance on its own.",
    )


def _growing(branch: DiscoveredBranch, alpha: float, num_sublayers: int) -> Finding:
    growth = num_sublayers * math.log10(alpha)
    return Finding(
        rule=LintRule.TWO_SCHEMES,
        path=branch.path,
        measured=alpha,
        threshold=1.0,
        formula="scale on a shortcut that no norm follows > 1",
        explanation=(
            f"The shortcut is scaled by {alpha:.4g} at each of {num_sublayers} sub-layers and no "
            f"norm follows the additions, so that the stream grows by 10^{growth:.1f}: a Post-LN "
            "scheme (DeepNorm, Admin) in a network that has its norms inside the branches."
        ),
        suggestion="Move the norm behind the addition, or take the scale away.",
    )


def _alpha_on_branch(branch: DiscoveredBranch, scale: float) -> Finding:
    return Finding(
        rule=LintRule.ALPHA_ON_BRANCH,
        path=branch.path,
        measured=scale,
        threshold=1.0,
        formula="constant scale on the branch of a Post-LN sub-layer > 1",
        explanation=(
            f"The branch is multiplied by {scale:.4g} and the shortcut by nothing: the sub-layer "
            "leans on its branch more than plain Post-LN does, where a scheme is there to make it "
            "lean less."
        ),
        suggestion="Scale the shortcut: LN(alpha * x + f(x)).",
    )


def _count(
    branch: DiscoveredBranch, alpha: float, stack: Stack, counts: _Counts, num_sublayers: int
) -> Iterator[Finding]:
    """Whether a constant on the shortcut is that of a formula, but with a wrong count or the wrong
    one of its two constants."""
    deepnorm = deepnorm_alpha(stack, counts.encoder, counts.decoder)
    right = [
        deepnorm,
        closed_form_omega(num_sublayers, OutputChangeScale.LOGARITHMIC),
        closed_form_omega(num_sublayers, OutputChangeScale.CONSTANT),
    ]
    if any(_is_close(alpha, value) for value in right):
        return
    beta = deepnorm_beta(stack, counts.encoder, counts.decoder)
    if _is_close(alpha, beta) or _is_close(alpha, 1 / deepnorm):
        yield Finding(
            rule=LintRule.ALPHA_BETA_SWAPPED,
            path=branch.path,
            measured=alpha,
            threshold=deepnorm,
            formula="scale on the shortcut = DeepNorm's alpha",
            explanation=(
                f"The shortcut is scaled by {alpha:.4g}, which is DeepNorm's gain of the weights "
                f"(beta = {beta:.4g}) or the inverse of its scale, and not its scale."
            ),
            suggestion=f"Scale the shortcut by alpha = {deepnorm:.4g}, and the weights by beta.",
        )
        return
    other = _other_count(alpha, stack, counts)
    if other is not None:
        yield Finding(
            rule=LintRule.WRONG_COUNT,
            path=branch.path,
            measured=alpha,
            threshold=deepnorm,
            formula="scale on the shortcut = DeepNorm's alpha for the layers of the stack",
            explanation=(
                f"The shortcut is scaled by {alpha:.4g}, DeepNorm's alpha for {other} layers; this "
                f"{stack.value} has {counts.of(stack)} ({num_sublayers} sub-layers)."
            ),
            suggestion=f"Use alpha = {deepnorm:.4g}; its formula counts layers, not sub-layers.",
        )


def _other_count(alpha: float, stack: Stack, counts: _Counts) -> int | None:
    """The number of layers that DeepNorm's alpha would be right for."""

    def of(layers: int) -> float:
        changed = counts.with_layers(stack, layers)
        return deepnorm_alpha(stack, changed.encoder, changed.decoder)

    return _solve(of, alpha)


def _solve(of: Callable[[int], float], value: float) -> int | None:
    """The n with of(n) = value, where `of` grows with n."""
    low, high = 1, 1
    while of(high) < value and high < 2**16:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if of(middle) < value * (1 - 1e-6) else (low, middle)
    return low if math.isclose(of(low), value, rel_tol=1e-3) else None


def _final_norms(found: ResidualMap) -> Iterator[Finding]:
    for branches in found.stacks.values():
        attends = any(branch.role is Role.SELF_ATTENTION for branch in branches)
        before = [b for b in branches if b.norm_placement in UNNORMED[:2]]
        last = branches[-1]
        if attends and 2 * len(before) > len(branches) and not last.ends_in_norm:
            yield Finding(
                rule=LintRule.MISSING_FINAL_NORM,
                path=last.path,
                measured=0.0,
                threshold=1.0,
                formula="norms after the last addition of a Pre-LN stack < 1",
                explanation=(
                    f"The last addition of the stack, in {last.addition_path or 'the model'}, goes "
                    f"on without a norm; after {len(branches)} additions its variance is the sum "
                    "of theirs."
                ),
                suggestion="Put one norm behind the last layer.",
            )


def _decay(found: ResidualMap, optimizer: torch.optim.Optimizer | None) -> Iterator[Finding]:
    if optimizer is None:
        return
    omegas = {
        id(parameter): name
        for name, parameter in found.model.named_parameters()
        if name in _omega_names(found)
    }
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            decay = float(group.get("weight_decay", 0.0))
            if id(parameter) in omegas and decay > 0:
                yield Finding(
                    rule=LintRule.OMEGA_UNDER_WEIGHT_DECAY,
                    path=omegas[id(parameter)],
                    measured=decay,
                    threshold=0.0,
                    formula="weight decay of a scale on a shortcut > 0",
                    explanation=(
                        "Weight decay pulls this scale to 0, which makes the sub-layer lean on its "
                        "branch alone; it holds no weights to be kept small."
                    ),
                    suggestion="Put it into a parameter group with weight_decay=0.",
                )


def _omega_names(found: ResidualMap) -> set[str]:
    """The parameters that scale shortcuts, the network's own and those of `apply_omega`."""
    names = {
        factor
        for branch in found.branches
        for factor in branch.shortcut_factors
        if isinstance(factor, str)
    }
    return names | {f"{b.norm_path}.{OMEGA}" for b in found.branches if b.omega is not None}


def _constant(factors: Sequence[float | str]) -> float | None:
    """The product of constant factors; None without any, or with a parameter among them."""
    numbers = [factor for factor in factors if not isinstance(factor, str)]
    return math.prod(numbers) if numbers and len(numbers) == len(factors) else None


def _counts(found: ResidualMap) -> _Counts:
    stacks = found.stacks
    return _Counts(*(_layers(stacks.get(stack.value, ())) or None for stack in Stack))


def _layers(branches: Sequence[DiscoveredBranch]) -> int:
    crossing = any(branch.role is Role.CROSS_ATTENTION for branch in branches)
    return len(branches) // (3 if crossing else 2)


def _is_close(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=CLOSE)

"""Hold a model against the stability rules at its first training step.

Activation inputs and states are looked at while the training pass runs; weights, gradients and
the optimizer's step after it. Every rule sees everything it applies to, so that a first finding
hides no other.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from admin_core.analysis.gradients import first_step, weight_matrices
from admin_core.analysis.stability_rules import (
    ACTIVE_BETWEEN,
    StabilityRule,
    all_zero,
    dead_relu,
    exploding_tensor,
    narrow_gradient,
    saturated_activation,
    tensor_variance,
    unchanged_tensor,
    uneven_variances,
    vanishing_gradient,
    weight_update_ratio,
)
from admin_core.report import Finding, RuleCheck, StabilityRulesSection
from admin_core.residual import ResidualBranch, at_states
from admin_core.spec import TrainingSpec

MAX_FINDINGS = 8
"""Findings that a report holds for each rule; the others are counted."""

RECTIFIERS = tuple(ACTIVE_BETWEEN)
SIGMOIDS = (nn.Tanh, nn.Sigmoid)


def rule_check(rule: str, results: Sequence[Finding | None]) -> RuleCheck:
    """What became of one rule: everything it was held against, and the worst findings first."""
    findings = sorted((found for found in results if found is not None), key=_severity)
    return RuleCheck(
        rule=rule,
        checked=len(results),
        offending=len(findings),
        findings=findings[:MAX_FINDINGS],
    )


def _severity(finding: Finding) -> float:
    """Minus the distance from the threshold, in orders of magnitude."""
    if finding.measured <= 0 or finding.threshold <= 0:
        return -math.inf
    return -abs(math.log(finding.measured / finding.threshold))


class StabilityCheck:
    """The rules, held against one model in one training pass."""

    def __init__(
        self,
        model: nn.Module,
        branches: Sequence[ResidualBranch],
        *,
        variance_bounds: tuple[float, float] | None = None,
    ) -> None:
        """`variance_bounds` are TensorVariance's min_threshold and max_threshold for the weight
        matrices; like there, it is not held against anything unless they are given."""
        self.model = model
        self.branches = branches
        self.variance_bounds = variance_bounds
        self.results: dict[str, list[Finding | None]] = {rule: [] for rule in StabilityRule}
        self.variances: dict[str, dict[str, float]] = defaultdict(dict)
        """Of the tensors that are the same in each layer of a stack, by group and path."""
        self.groups = {
            path: f"the {branch.stack}'s {branch.role} {_within_layer(path, branch)}"
            for branch in branches
            for path in _paths(branch)
        }

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hooks that see the states and the inputs of activations during the pass."""
        with ExitStack() as hooks:
            hooks.enter_context(at_states(self.branches, self._see_state))
            for path, module in self.model.named_modules():
                if isinstance(module, RECTIFIERS + SIGMOIDS):
                    hooks.enter_context(module.register_forward_pre_hook(self._see_inputs_of(path)))
            yield

    @torch.no_grad()
    def section(self, training: TrainingSpec) -> StabilityRulesSection:
        """The outcome, while the parameters hold the gradients of the watched pass."""
        for path, parameter in self.model.named_parameters():
            self._record(StabilityRule.EXPLODING_TENSOR, exploding_tensor(path, parameter))
            if parameter.grad is not None:
                found = exploding_tensor(f"gradient of {path}", parameter.grad)
                self._record(StabilityRule.EXPLODING_TENSOR, found)
        for path, weight in weight_matrices(self.model).items():
            self._see_weight(path, weight)
            if weight.grad is not None:
                self._see_gradient(path, weight.grad)
            if weight.requires_grad:
                self._see_step(path, weight, first_step(weight, training))
        for group, variances in self.variances.items():
            found = uneven_variances(group, variances)
            self._record(StabilityRule.POOR_WEIGHT_INITIALIZATION, found)
        return StabilityRulesSection(
            checks=[rule_check(rule, results) for rule, results in self.results.items()]
        )

    def _record(self, rule: StabilityRule, found: Finding | None) -> None:
        self.results[rule].append(found)

    def _see_state(self, branch: ResidualBranch, state: Tensor) -> None:
        path = f"state after {branch.path}"
        self._record(StabilityRule.EXPLODING_TENSOR, exploding_tensor(path, state.detach()))
        self._record(StabilityRule.ALL_ZERO, all_zero(path, state.detach()))

    def _see_inputs_of(self, path: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def see(activation: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            inputs = arguments[0].detach()
            self._group_variance(path, f"the inputs of {self.groups.get(path)}", inputs)
            if isinstance(activation, RECTIFIERS):
                self._record(StabilityRule.DEAD_RELU, dead_relu(path, activation, inputs))
            else:
                found = saturated_activation(path, activation, inputs)
                self._record(StabilityRule.SATURATED_ACTIVATION, found)

        return see

    def _see_weight(self, path: str, weight: Tensor) -> None:
        self._group_variance(path, self.groups.get(path, ""), weight)
        self._record(StabilityRule.ALL_ZERO, all_zero(path, weight))
        if self.variance_bounds is not None:
            low, high = self.variance_bounds
            found = tensor_variance(path, weight, min_threshold=low, max_threshold=high)
            self._record(StabilityRule.TENSOR_VARIANCE, found)

    def _see_gradient(self, path: str, gradient: Tensor) -> None:
        self._record(StabilityRule.VANISHING_GRADIENT, vanishing_gradient(path, gradient))
        self._record(StabilityRule.ALL_ZERO, all_zero(f"gradient of {path}", gradient))
        found = narrow_gradient(path, gradient)
        self._record(StabilityRule.POOR_WEIGHT_INITIALIZATION, found)

    def _see_step(self, path: str, weight: Tensor, step: Tensor) -> None:
        after = weight.float() + step
        found = exploding_tensor(f"{path} after one step", after)
        self._record(StabilityRule.EXPLODING_TENSOR, found)
        found = weight_update_ratio(path, weight, step)
        self._record(StabilityRule.WEIGHT_UPDATE_RATIO, found)
        found = unchanged_tensor(path, weight.float(), after)
        self._record(StabilityRule.UNCHANGED_TENSOR, found)

    def _group_variance(self, path: str, group: str, tensor: Tensor) -> None:
        """Remember the variance of a tensor that every layer of a stack has one of."""
        if path in self.groups:
            self.variances[group][path] = torch.var(tensor.float(), correction=0).item()


def _paths(branch: ResidualBranch) -> Iterator[str]:
    """Of a branch's modules and their parameters."""
    for path, module in branch.modules.items():
        yield path
        yield from (f"{path}.{name}" for name, _ in module.named_parameters(recurse=False))


def _within_layer(path: str, branch: ResidualBranch) -> str:
    """What a path has in common with its counterparts in the other layers."""
    if path.startswith(f"{branch.path}."):
        return path.removeprefix(f"{branch.path}.")
    return re.sub(r"\.\d+(?=\.)", ".*", path)

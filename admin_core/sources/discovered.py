"""What is true of every network whose branches are found rather than known."""

from collections import Counter
from collections.abc import Mapping, Sequence

from torch import nn

from admin_core.applicability import UNNORMED, Applicability
from admin_core.comparators import comparators_of_stack
from admin_core.linter import lint
from admin_core.report import Comparators, Finding, NormPlacement, StackName
from admin_core.residual import DiscoveredBranch, ResidualBranch, discover
from admin_core.residual.omega import apply_omega
from admin_core.residual.passes import Inputs
from admin_core.sources.source import Source
from admin_core.spec import Stack


class DiscoveredSource(Source):
    """A source of networks that nobody edited."""

    def branches(self, model: nn.Module) -> Sequence[ResidualBranch]:
        return discover(model, self._inputs()).branches

    def applicability(self, branches: Sequence[ResidualBranch]) -> Applicability:
        why_not = {stack: _why_not(own) for stack, own in by_stack(branches).items()}
        return Applicability(
            stacks=tuple(stack for stack, reason in why_not.items() if reason is None),
            reason=" ".join(
                f"The {stack} takes none: {reason}." for stack, reason in why_not.items() if reason
            )
            or None,
        )

    def take_omegas(self, omegas: Mapping[ResidualBranch, float]) -> None:
        found = {b: omega for b, omega in omegas.items() if isinstance(b, DiscoveredBranch)}
        apply_omega(list(found), list(found.values()))

    def comparators(self, branches: Sequence[ResidualBranch]) -> dict[StackName, Comparators]:
        stacks = by_stack(branches)
        layers = {stack: _num_layers(own) for stack, own in stacks.items()}
        pair = layers.keys() == {Stack.ENCODER, Stack.DECODER}
        found: dict[StackName, Comparators] = {}
        for stack, own in stacks.items():
            kind = Stack.DECODER if stack == Stack.DECODER else Stack.ENCODER
            # A stack without a counterpart is an encoder or a decoder alone.
            counts = layers if pair else {kind: layers[stack]}
            found[stack] = comparators_of_stack(
                kind, len(own), counts.get(Stack.ENCODER), counts.get(Stack.DECODER)
            )
        return found

    def findings(self, model: nn.Module, branches: Sequence[ResidualBranch]) -> list[Finding]:
        if not branches:
            return [_no_residual_addition(model)]
        return lint(model, self._inputs())

    def _inputs(self) -> Inputs:
        batch = self.batch(0)
        return batch.arguments or batch.inputs


def by_stack(branches: Sequence[ResidualBranch]) -> dict[StackName, list[ResidualBranch]]:
    """The branches of each stack, in forward order."""
    stacks: dict[StackName, list[ResidualBranch]] = {}
    for branch in branches:
        stacks.setdefault(branch.stack, []).append(branch)
    return stacks


def _why_not(branches: Sequence[ResidualBranch]) -> str | None:
    """Why a stack takes no omegas; None where it does."""
    for branch in branches:
        if branch.norm_placement is not NormPlacement.POST:
            return f"at {branch.path} {UNNORMED}"
        if isinstance(branch, DiscoveredBranch) and branch.shortcut_factors:
            return f"the shortcut at {branch.path} has a scale already"
    return None


def _no_residual_addition(model: nn.Module) -> Finding:
    return Finding(
        rule="NoResidualAddition",
        path=type(model).__name__,
        measured=0,
        threshold=1,
        formula="number of shortcut additions < 1",
        explanation="Nothing is carried past anything in this network: no sum of a tensor and of "
        "what was made of it was found.",
        suggestion="Where there should be one, look whether the branch's output is added to its "
        "own input; a deep network without shortcuts trains badly.",
    )


def _num_layers(branches: Sequence[ResidualBranch]) -> int:
    """As many as there are branches of the commonest role."""
    return Counter(branch.role for branch in branches).most_common(1)[0][1]

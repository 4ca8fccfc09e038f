"""A log of findings in which none hides another.

A rule that fires at a path look after look is one finding, which grows; after a pause it is a new
one. Rules and paths are kept apart.
"""

from collections.abc import Iterable
from typing import Any

from admin_core.race_report import MonitorFinding
from admin_core.training.watch_rules import Violation

MAX_FINDINGS = 1_000
"""Findings that are kept; further ones are counted."""


class Findings:
    """What has fired so far."""

    def __init__(self) -> None:
        self.found: list[MonitorFinding] = []
        self.left_out = 0
        self.open: dict[str, int] = {}
        """Position in `found` of what fired at the last look, or -1 where it was left out; by
        source, rule and path."""

    def add(self, source: str, step: int, violations: Iterable[Violation]) -> None:
        """What fired at `step`, all of it at once; a source that is silent at a step of its own
        ends its findings."""
        before = {key: at for key, at in self.open.items() if key.startswith(f"{source}/")}
        for key in before:
            del self.open[key]
        for violation in violations:
            key = f"{source}/{violation.rule}/{violation.path}/{violation.formula}"
            at = before.get(key)
            if at is None:
                at = self._begin(step, violation)
            elif at >= 0:
                self.found[at] = _grown(self.found[at], step, violation)
            self.open[key] = at

    def _begin(self, step: int, violation: Violation) -> int:
        if len(self.found) == MAX_FINDINGS:
            self.left_out += 1
            return -1
        self.found.append(
            MonitorFinding(
                rule=violation.rule,
                path=violation.path,
                first_step=step,
                last_step=step,
                count=1,
                measured=violation.measured,
                threshold=violation.threshold,
                formula=violation.formula,
            )
        )
        return len(self.found) - 1

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        found = [finding.model_dump(mode="json") for finding in self.found]
        return {"found": found, "left_out": self.left_out, "open": self.open}

    def restore(self, state: dict[str, Any]) -> None:
        self.found = [MonitorFinding.model_validate(finding) for finding in state["found"]]
        self.left_out, self.open = state["left_out"], dict(state["open"])


def _grown(finding: MonitorFinding, step: int, violation: Violation) -> MonitorFinding:
    update: dict[str, Any] = {"last_step": step, "count": finding.count + 1}
    if violation.measured is not None and finding.measured is not None:
        further = violation.measured - finding.measured
        if (further < 0) if violation.below else (further > 0):
            update |= {"measured": violation.measured, "threshold": violation.threshold}
    return finding.model_copy(update=update)

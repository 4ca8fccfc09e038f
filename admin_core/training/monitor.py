"""Watch a training loop: this package's own, or anybody's.

    with Monitor(model, optimizer) as monitor:
        for batch in batches:
            loss = ...
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            monitor.step(loss)
    print(monitor.section().findings)

Each step's loss is held against a rule. The first step and every `every`-th one are looked at
closely (`admin_core.training.look`); between looks the model carries no hook.
"""

import math
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from admin_core.race_report import MonitorSection, WatchPoint
from admin_core.residual import ResidualBranch, residual_branches
from admin_core.training.findings import Findings
from admin_core.training.look import Look, parameter_groups
from admin_core.training.loss_rules import LOSS_RULES, LossDetector, LossPreset
from admin_core.training.watch_rules import Violation, violations
from admin_core.watched_run import StepPoint

OnStepPoint = Callable[[StepPoint], None]
"""Called after every step; must return quickly, and raise nothing."""

MAX_POINTS = 200
"""Looks that are kept; when there are more, every second one goes. The first stays."""


class Monitor:
    """Sees losses, gradients, updates, dependency, logits and units; changes nothing."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        every: int = 50,
        loss_rule: LossPreset = LossPreset.OLMO,
        branches: Sequence[ResidualBranch] | None = None,
        on_point: OnStepPoint | None = None,
    ) -> None:
        """`every` 0 never looks closely; losses are followed all the same.

        Args:
            branches: of another network than the built-in Transformer, those that `discover` finds.
            on_point: told of every step; `app.push` sends it on.
        """
        self.on_point = on_point
        self.model = model
        self.optimizer = optimizer
        self.every = every
        self.loss_rule = loss_rule
        self.branches = residual_branches(model) if branches is None else branches
        self.groups = parameter_groups(model, self.branches)
        self.detector = LossDetector(LOSS_RULES[loss_rule])
        self.findings = Findings()
        self.points: list[WatchPoint] = []
        self.first: WatchPoint | None = None
        self.steps = 0
        self.look: Look | None = None
        self.handles: list[Any] = []

    def __enter__(self) -> "Monitor":
        self.handles = [
            self.optimizer.register_step_pre_hook(self._before_update),
            self.optimizer.register_step_post_hook(self._after_update),
        ]
        self._open_look()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self.handles:
            handle.remove()
        self._close_look()

    def step(self, loss: float | Tensor) -> WatchPoint | None:
        """Call after each optimizer step with its loss; returns what was seen, at a look."""
        self.steps += 1
        value = loss.item() if isinstance(loss, Tensor) else loss
        self._judge_loss(value)
        point = None
        if self.look is not None:
            point = self.look.point(self.steps)
            self.first = self.first or point
            self.findings.add("look", self.steps, violations(point, self.first))
            self.points.append(point)
            if len(self.points) > MAX_POINTS:
                del self.points[1::2]
            self._close_look()
        self._open_look()
        if self.on_point is not None:
            self.on_point(self._step_point(value, point))
        return point

    def section(self) -> MonitorSection:
        """Everything seen so far."""
        return MonitorSection(
            loss_rule=self.loss_rule,
            points=list(self.points),
            findings=list(self.findings.found),
            findings_left_out=self.findings.left_out,
        )

    def state(self) -> dict[str, Any]:
        """What a monitor of a run that goes on later needs, as JSON values."""
        return {
            "steps": self.steps,
            "points": [point.model_dump(mode="json") for point in self.points],
            "first": None if self.first is None else self.first.model_dump(mode="json"),
            "findings": self.findings.state(),
            "window": list(self.detector.window),
            "in_a_row": self.detector.in_a_row,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; call before the block is entered."""
        self.steps = state["steps"]
        self.points = [WatchPoint.model_validate(point) for point in state["points"]]
        first = state["first"]
        self.first = None if first is None else WatchPoint.model_validate(first)
        self.findings.restore(state["findings"])
        self.detector.window.extend(state["window"])
        self.detector.in_a_row = state["in_a_row"]

    def _step_point(self, loss: float, watch: WatchPoint | None) -> StepPoint:
        rate = float(self.optimizer.param_groups[0]["lr"])
        return StepPoint(
            step=self.steps,
            loss=loss if math.isfinite(loss) else None,
            learning_rate=rate if math.isfinite(rate) else None,
            watch=watch,
        )

    def _judge_loss(self, loss: float) -> None:
        found = []
        threshold = self.detector.see(loss)
        if not math.isfinite(loss):
            found.append(Violation("non_finite", "loss", None, None, "loss is NaN or infinite"))
        elif threshold is not None:
            formula = self.detector.rule.formula
            found.append(Violation(self.loss_rule.value, "loss", loss, threshold, formula))
        self.findings.add("loss", self.steps, found)

    def _before_update(self, *_: Any) -> None:
        if self.look is not None:
            self.look.before_update()

    def _after_update(self, *_: Any) -> None:
        if self.look is not None:
            self.look.after_update()

    def _open_look(self) -> None:
        coming = self.steps + 1
        if self.every and (coming == 1 or coming % self.every == 0):
            self.look = Look(self.model, self.branches, self.groups)

    def _close_look(self) -> None:
        if self.look is not None:
            self.look.close()
            self.look = None

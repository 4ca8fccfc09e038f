"""A training loop of somebody's own that is watched from elsewhere, as data. No torch is loaded
here.

Losses are in whatever unit the loop has; steps count from 1.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from admin_core.race_report import MonitorFinding, WatchPoint
from admin_core.report import Section
from admin_core.spec import Count, Part, Real, Whole

MOST_POINTS = 1_000
"""In one message."""

Step = Annotated[Count, Field(lt=2**53)]


class WatchedRunSpec(Part):
    """What is said of a loop when it begins."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    steps: Step | None = None
    """Planned, for the share that is done; unknown unless given."""


class StepPoint(Part):
    """Where a loop is after one step."""

    step: Step
    loss: Real | None
    """None where it is not finite."""
    learning_rate: Real | None = None
    watch: WatchPoint | None = None
    """What the monitor saw, at the steps at which it looked."""


class StepPoints(Part):
    """Some steps of a loop, in order. None at all is a sign of life."""

    points: Annotated[list[StepPoint], Field(max_length=MOST_POINTS)]

    @field_validator("points")
    @classmethod
    def _in_order(cls, points: list[StepPoint]) -> list[StepPoint]:
        steps = [point.step for point in points]
        if any(later <= step for step, later in zip(steps, steps[1:], strict=False)):
            raise PydanticCustomError("steps_in_order", "Give each step once, and in order")
        return points


class RunEnd(Part):
    """What is said of a loop when it ends."""

    state: Literal["succeeded", "failed"]
    detail: Annotated[str, Field(max_length=500)] | None = None
    """Of a failed one: why."""
    findings: Annotated[list[MonitorFinding], Field(max_length=1_000)] = []
    """Of the monitor."""
    dropped_points: Whole = 0
    """That could not be told in time."""


class WatchedRunReport(Section):
    """What is known of a loop, while it runs and afterwards."""

    last_step: int = 0
    num_points: int = 0
    last_loss: float | None = None
    """None where it is not finite."""
    lowest_loss: float | None = None
    findings: list[MonitorFinding] = []
    """Of the monitor, once the loop has ended."""
    dropped_points: int = 0
    """That the loop could not tell in time."""

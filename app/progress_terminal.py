"""Long work for people at a terminal, while it is done: stage, share, time left, and the losses of
a race's arms. On standard error, out of the way of what is piped on, and only on a terminal."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from admin_core.progress import OnProgress, Progress, seconds_left
from admin_core.race_report import RacePoint

OnRacePoint = Callable[[str, int, RacePoint], None]
"""As in `admin_core.race`, which loads torch."""

BAR_COLUMNS = 30
CURVE_COLUMNS = 24
BLOCKS = "▁▂▃▄▅▆▇█"
MOST_ARMS = 20
"""Shown at once."""


@dataclass(slots=True)
class Arm:
    """What is known of one arm, from the points that its runs have told."""

    step: int = 0
    """The furthest that a run has taken."""
    losses: dict[int, float | None] = field(default_factory=dict)
    """By seed, the latest."""
    curves: dict[int, list[float]] = field(default_factory=dict)
    """By seed, all that are finite."""
    latest: int = 0
    """The seed of which something was told last."""

    @property
    def loss(self) -> float | None:
        """Mean over the seeds of the latest; None if one of them is not finite."""
        known = [loss for loss in self.losses.values() if loss is not None]
        return sum(known) / len(known) if known and len(known) == len(self.losses) else None


class Display:
    """What is shown; it changes as the work tells of itself."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.stage = "waiting"
        self.share = 0.0
        self.seconds_left: float | None = None
        self.arms: dict[str, Arm] = {}

    def tell(self, stage: str | None, share: float, seconds_left: float | None) -> None:
        self.stage = stage or "waiting"
        self.share = share
        self.seconds_left = seconds_left

    def point(self, arm: str, seed: int, step: int, loss: float | None) -> None:
        found = self.arms.setdefault(arm, Arm())
        found.step = max(found.step, step)
        found.losses[seed] = loss
        found.latest = seed
        run = found.curves.setdefault(seed, [])
        if loss is not None:
            run.append(loss)

    def __rich__(self) -> RenderableType:
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            escape(self.stage),
            ProgressBar(total=1.0, completed=self.share, width=BAR_COLUMNS),
            f"{self.share:.0%}",
            f"{duration(time.monotonic() - self.began)} so far",
            "" if self.seconds_left is None else f"about {duration(self.seconds_left)} left",
        )
        return Group(_arms(self.arms), bar) if self.arms else bar


@contextmanager
def live(display: Display) -> Iterator[Display]:
    """Show a display for as long as the block lasts."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield display
        return
    with Live(display, console=console, transient=True, refresh_per_second=4):
        yield display


@contextmanager
def work_display() -> Iterator[tuple[OnProgress, OnRacePoint]]:
    """For work in this process: what it calls as it goes on, and after each step of a race."""
    with live(Display()) as display:

        def on_progress(progress: Progress) -> None:
            left = seconds_left(progress.share, time.monotonic() - display.began)
            display.tell(progress.stage, progress.share, left)

        def on_point(arm: str, seed: int, point: RacePoint) -> None:
            display.point(arm, seed, point.step, point.loss)

        yield on_progress, on_point


def _arms(arms: Mapping[str, Arm]) -> Table:
    table = Table()
    table.add_column("arm")
    for heading in ("seeds", "step", "loss"):
        table.add_column(heading, justify="right")
    table.add_column("of the latest run")
    for name, arm in list(arms.items())[:MOST_ARMS]:
        loss = "not finite" if arm.loss is None else f"{arm.loss:.3f}"
        shape = curve(arm.curves[arm.latest])
        table.add_row(escape(name), str(len(arm.losses)), str(arm.step), loss, shape)
    return table


def curve(losses: Sequence[float]) -> str:
    """The losses from first to last as a line of blocks, the lowest for the least."""
    if not losses:
        return ""
    columns = min(len(losses), CURVE_COLUMNS)
    shown = [losses[(n * len(losses)) // columns] for n in range(columns - 1)] + [losses[-1]]
    low, high = min(shown), max(shown)
    unit = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((loss - low) * unit)] for loss in shown)


def duration(seconds: float) -> str:
    """``8 s``, ``2 min 05 s`` or ``3 h 20 min``."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02} min"

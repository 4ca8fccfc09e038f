import io

import pytest
from rich.console import Console

from app.progress_terminal import Display, curve, duration, live


def shown(display: Display) -> str:
    text = io.StringIO()
    Console(file=text, width=100).print(display)
    return text.getvalue()


def test_stage_share_and_time_left_are_shown() -> None:
    display = Display()
    assert "waiting" in shown(display)
    assert "left" not in shown(display)
    display.tell("probe", 0.25, 125.0)
    for expected in ("probe", "25%", "so far", "about 2 min 05 s left"):
        assert expected in shown(display)


def test_arms_are_shown_with_the_mean_of_their_latest_losses() -> None:
    display = Display()
    for step, loss in enumerate((4.0, 3.0, 2.0), start=1):
        display.point("[bold]admin", 0, step, loss)
        display.point("[bold]admin", 1, step, loss + 1.0)
    display.point("post_ln", 0, 7, None)
    rows = [line.split("│") for line in shown(display).splitlines() if "│" in line]
    lines = {row[1].strip(): [cell.strip() for cell in row[2:6]] for row in rows}
    assert lines["[bold]admin"] == ["2", "3", "2.500", "█▅▁"]
    assert "not finite" in lines["post_ln"]


def test_a_curve_has_a_bounded_number_of_blocks_and_ends_with_the_last_loss() -> None:
    losses = [10.0 - n / 100 for n in range(1_000)]
    assert len(curve(losses)) == 24
    assert curve(losses)[0] == "█"
    assert curve(losses)[-1] == "▁"
    assert curve([2.0, 2.0]) == "▁▁"
    assert curve([]) == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "1 s"),
        (59.0, "59 s"),
        (59.5, "1 min 00 s"),
        (3_599.0, "59 min 59 s"),
        (12_000.0, "3 h 20 min"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_nothing_is_written_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with live(Display()) as display:
        display.tell("probe", 0.5, None)
    assert capsys.readouterr() == ("", "")

import pytest

from admin_core.progress import seconds_left


def test_the_rest_is_taken_to_go_as_what_is_done_has_gone() -> None:
    assert seconds_left(0.25, 30.0) == 90.0
    assert seconds_left(1.0, 30.0) == 0.0


@pytest.mark.parametrize(("share", "running_seconds"), [(0.0, 50.0), (0.01, 50.0), (0.5, 0.2)])
def test_nothing_is_said_of_the_rest_while_too_little_is_done(
    share: float, running_seconds: float
) -> None:
    assert seconds_left(share, running_seconds) is None

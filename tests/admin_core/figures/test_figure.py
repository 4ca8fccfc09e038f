from admin_core.figures.figure import SERIES_COLOURS, STACK_COLOURS, evenly, logarithmic, thinned
from admin_core.figures.theme import BACKGROUND, Theme


def luminance(colour: str) -> float:
    """Relative, as WCAG 2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_colour_stands_out_from_light_and_dark() -> None:
    for colour in {*SERIES_COLOURS, *STACK_COLOURS.values()}:
        for theme in (Theme.LIGHT, Theme.DARK):
            background = BACKGROUND[theme]
            assert background is not None
            assert contrast(colour, background) >= 3, (colour, theme)


def test_a_short_line_stays_as_it_is() -> None:
    assert thinned([3.0, 1.0, 2.0]) == [0, 1, 2]


def test_a_long_line_keeps_its_ends_and_its_one_spike() -> None:
    losses = [1.0] * 100_000
    losses[54_321] = 9.0
    kept = thinned(losses)
    assert len(kept) <= 300
    assert kept == sorted(set(kept))
    assert {0, 54_321, 99_999} <= set(kept)


def test_places_are_spread_evenly() -> None:
    assert evenly(3, 5) == [0, 1, 2]
    assert evenly(101, 5) == [0, 25, 50, 75, 100]


def test_an_axis_is_logarithmic_where_all_values_are_positive() -> None:
    assert logarithmic([0.1, 10.0])["scale"]["type"] == "log"
    assert "type" not in logarithmic([0.0, 10.0])["scale"]
    assert "type" not in logarithmic([])["scale"]

import pytest

from bench.figures.reliability import chart, interval


class TestTheInterval:
    @pytest.mark.parametrize(("failed", "runs"), [(0, 10), (3, 10), (50, 100), (100, 100)])
    def test_ends_where_the_share_is_two_standard_deviations_away(
        self, failed: int, runs: int
    ) -> None:
        share = failed / runs
        for end in interval(share, runs):
            if 1e-9 < end < 1 - 1e-9:
                deviation = (end * (1 - end) / runs) ** 0.5
                assert abs(share - end) / deviation == pytest.approx(1.96)

    def test_holds_the_share_and_narrows_with_the_runs(self) -> None:
        wide, narrow = interval(0.3, 10), interval(0.3, 1000)
        assert wide[0] < narrow[0] < 0.3 < narrow[1] < wide[1]


def test_the_diagram_has_a_point_a_bin() -> None:
    points = chart([(95, 0.04, 0.02), (60, 0.95, 0.97)])["data"]["values"]
    assert [(p["runs"], p["probability"], p["share"]) for p in points] == [
        (95, 0.04, 0.02),
        (60, 0.95, 0.97),
    ]

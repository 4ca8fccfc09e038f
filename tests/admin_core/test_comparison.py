import pytest

from admin_core.comparison import Compared, Comparison, ComparisonError, Row, cells, compare
from admin_core.report import Report
from tests.admin_core.reports import HOSTILE, diagnosis, raced


def half_as_long(report: Report) -> Report:
    """The same without the decoder, and with a smaller omega at the end of the encoder."""
    encoder = [branch for branch in report.branches if branch.stack == "encoder"]
    encoder[-1] = encoder[-1].model_copy(update={"omega": 1.5})
    return report.model_copy(update={"branches": encoder, "verdict": None})


def two_diagnoses() -> Comparison:
    first = {"model": {"scheme": "admin", "d_model": 16}, "seed": 0}
    second = {"model": {"scheme": "post_ln", "d_model": 16}, "seed": 0}
    return compare(
        [
            Compared(name="one", report=diagnosis(), request=first),
            Compared(name="other", report=half_as_long(diagnosis()), request=second),
        ]
    )


def row(comparison: Comparison, group: str, quantity: str) -> Row:
    [found] = [r for r in comparison.rows if (r.group, r.quantity) == (group, quantity)]
    return found


class TestDiagnoses:
    def test_every_row_has_a_value_for_every_report(self) -> None:
        comparison = two_diagnoses()
        assert (comparison.kind, comparison.columns) == ("diagnosis", ["one", "other"])
        assert all(len(each.values) == len(cells(each)) == 2 for each in comparison.rows)

    def test_values_are_those_of_the_reports(self) -> None:
        comparison, report = two_diagnoses(), diagnosis()
        assert report.verdict is not None
        assert report.amplification is not None
        last = [one.omega for one in report.branches if one.stack == "encoder"][-1]
        assert row(comparison, "sub-layers, encoder", "omega, last").values == [last, 1.5]
        assert row(comparison, "sub-layers, encoder", "number").values == [6, 6]
        slope = row(comparison, "output change, encoder, random step", "slope")
        assert slope.values == [report.amplification.random["encoder"].slope] * 2
        outcome = report.verdict.outcome.value.replace("_", " ")
        assert row(comparison, "verdict", "outcome").values == [outcome, None]

    def test_what_a_report_lacks_is_none_and_reads_as_a_dash(self) -> None:
        number = row(two_diagnoses(), "sub-layers, decoder", "number")
        assert number.values == [6, None]
        assert cells(number) == ["6", "-"]

    def test_rows_say_whether_the_reports_differ(self) -> None:
        comparison = two_diagnoses()
        assert row(comparison, "sub-layers, encoder", "omega, last").differs
        assert not row(comparison, "run", "parameters").differs

    def test_of_the_requests_only_what_differs_is_shown(self) -> None:
        shown = [each for each in two_diagnoses().rows if each.group == "request"]
        assert [(each.quantity, each.values) for each in shown] == [
            ("model.scheme", ["admin", "post_ln"])
        ]

    def test_survives_json(self) -> None:
        comparison = two_diagnoses()
        assert Comparison.model_validate_json(comparison.model_dump_json()) == comparison


class TestRaces:
    def test_arms_of_the_same_name_share_rows(self) -> None:
        race = raced()
        slower = race.model_copy(update={"arms": race.arms[:1], "target_loss": 2.5})
        comparison = compare([Compared(name="a", report=race), Compared(name="b", report=slower)])
        assert comparison.kind == "race"
        loss = race.arms[0].final_loss
        assert row(comparison, "arm post_ln", "final loss").values == [loss, loss]
        assert row(comparison, f"arm {HOSTILE}", "seeds").values == [2, None]
        assert row(comparison, "race", "target loss").values == [race.target_loss, 2.5]


class TestRefusals:
    def test_a_diagnosis_and_a_race_are_not_set_side_by_side(self) -> None:
        pair = [Compared(name="a", report=diagnosis()), Compared(name="b", report=raced())]
        with pytest.raises(ComparisonError, match="races with races"):
            compare(pair)

    def test_one_report_is_none(self) -> None:
        with pytest.raises(ComparisonError, match="two reports or more"):
            compare([Compared(name="a", report=diagnosis())])

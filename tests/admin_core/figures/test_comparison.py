import math
from typing import Any

from admin_core.figures.comparison import OF_COMPARISON, comparison
from admin_core.figures.figure import Chart
from tests.admin_core.reports import diagnosis, raced


def rows_of(panel: Chart) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = panel["data"]["values"]
    return found


def test_two_diagnoses_share_a_panel_for_each_stack() -> None:
    report = diagnosis()
    calm = report.model_copy(update={"amplification": None})
    change, variances = comparison({"A": report, "B": report, "C": calm})
    assert (change.name, variances.name) == OF_COMPARISON[:2]
    for figure, labels in ((change, {"A", "B"}), (variances, {"A", "B", "C"})):
        panels = figure.chart["hconcat"]
        assert [panel["title"] for panel in panels] == ["encoder", "decoder"]
        for panel in panels:
            assert {row["series"] for row in rows_of(panel)} == labels
    encoder = [branch for branch in report.branches if branch.stack == "encoder"]
    drawn = [row["y"] for row in rows_of(variances.chart["hconcat"][0]) if row["series"] == "A"]
    assert all(
        math.isclose(y, branch.branch_variance, rel_tol=1e-3)
        for y, branch in zip(drawn, encoder, strict=True)
    )


def test_races_share_one_panel_with_a_line_for_each_arm() -> None:
    report = raced()
    (figure,) = comparison({"A": report, "B": report})
    assert figure.name == OF_COMPARISON[2]
    names = {row["series"] for row in rows_of(figure.chart)}
    assert names == {f"{label}: {arm.name}" for label in "AB" for arm in report.arms}


def test_what_has_nothing_in_common_has_no_figure() -> None:
    assert comparison({}) == []
    assert {figure.name for figure in comparison({"A": diagnosis(), "B": raced()})} == set(
        OF_COMPARISON
    )

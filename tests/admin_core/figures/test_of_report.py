import json
from typing import Any

import pytest

from admin_core.figures.figure import Chart, Figure
from admin_core.figures.of_report import OF_DIAGNOSIS, OF_RACE, figures
from admin_core.race_report import RaceReport
from admin_core.report import Report
from tests.admin_core.reports import deep_diagnosis, diagnosis, raced

EVERYTHING = [*OF_DIAGNOSIS, *OF_RACE]


def named(report: Report | RaceReport, name: str) -> Figure:
    return next(figure for figure in figures(report) if figure.name == name)


def figure_of(name: str) -> Figure:
    return named(diagnosis() if name in OF_DIAGNOSIS else raced(), name)


def parts(chart: Any) -> list[Chart]:
    """A chart and all charts within it."""
    inside = [*chart.get("hconcat", []), *chart.get("layer", [])]
    return [chart, *(found for part in inside for found in parts(part))]


def rows_of(figure: Figure, field: str) -> list[Any]:
    """The values of a field over all data of a figure."""
    data = [part["data"]["values"] for part in parts(figure.chart) if "data" in part]
    return [row[field] for rows in data for row in rows if field in row]


def test_a_whole_diagnosis_and_a_race_have_all_figures() -> None:
    assert [figure.name for figure in figures(diagnosis())] == list(OF_DIAGNOSIS)
    assert [figure.name for figure in figures(raced())] == list(OF_RACE)


def test_a_diagnosis_of_omegas_alone_has_two_figures() -> None:
    sections = ("amplification", "dependency", "gradients", "stability_rules", "numeric_range")
    short = diagnosis().model_copy(update=dict.fromkeys((*sections, "verdict")))
    assert [figure.name for figure in figures(short)] == ["branches", "omega"]


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_axis_has_a_title_and_every_figure_a_sentence(name: str) -> None:
    figure = figure_of(name)
    assert figure.title
    assert figure.caption.endswith(".")
    titles: dict[str, set[str]] = {"x": set(), "y": set()}
    for part in parts(figure.chart):
        for channel, found in titles.items():
            encoding = part.get("encoding", {}).get(channel) or {}
            found.add(encoding.get("title") or "")
    assert titles["x"] - {""}
    # The rows of the final losses are named after the arms.
    assert titles["y"] - {""} or name == "outcomes"


@pytest.mark.parametrize("name", EVERYTHING)
def test_no_figure_holds_what_json_does_not(name: str) -> None:
    json.dumps(figure_of(name).chart, allow_nan=False)


def test_branches_are_those_of_the_report() -> None:
    found = rows_of(named(diagnosis(), "branches"), "variance")
    expected = [branch.branch_variance for branch in diagnosis().branches]
    assert sorted(found) == pytest.approx(sorted(expected), rel=1e-3)


def test_the_theory_stands_beside_what_was_measured() -> None:
    figure = named(diagnosis(), "amplification")
    assert {"measured", "theory, C sum beta_ii^2"} == set(rows_of(figure, "kind"))
    assert {"O(N)", "O(log N)"} == set(rows_of(figure, "law"))


def test_a_deep_dependency_is_thinned() -> None:
    figure = named(deep_diagnosis(1_000), "dependency")
    assert len(rows_of(figure, "beta")) == sum(range(2, 50))
    assert "48 rows" in figure.caption


def test_curves_hold_every_seed_the_mean_and_the_unigram_loss() -> None:
    report = raced()
    figure = named(report, "curves")
    lines = rows_of(figure, "line")
    assert len(set(lines)) == 2 * 2 + 2
    assert len(lines) == 6 * 12
    assert rows_of(figure, "loss").count(pytest.approx(report.unigram_loss, rel=1e-3)) == 1


def test_an_arm_that_shoots_up_leaves_room_for_the_others() -> None:
    report = raced()
    first = report.arms[0]
    wild = first.seeds[0].model_copy(update={"losses": [5.0, 4.0, 900.0]})
    arm = first.model_copy(update={"seeds": [wild]})
    figure = named(report.model_copy(update={"arms": [arm, report.arms[1]]}), "curves")
    assert figure.chart["encoding"]["y"]["scale"]["domainMax"] < 10


def test_of_a_race_without_a_finite_loss_there_is_nothing_to_draw() -> None:
    report = raced()
    arm = report.arms[0]
    lost = [seed.model_copy(update={"losses": []}) for seed in arm.seeds]
    arm = arm.model_copy(update={"seeds": lost, "final_loss": None, "standard_error": None})
    found = figures(report.model_copy(update={"arms": [arm]}))
    assert [figure.name for figure in found] == ["gradient_norms"]


def test_many_arms_have_the_colour_of_their_outcome() -> None:
    report = raced()
    many = [report.arms[0].model_copy(update={"name": f"arm {n}"}) for n in range(45)]
    figure = named(report.model_copy(update={"arms": many}), "curves")
    assert set(rows_of(figure, "series")) == {many[0].outcome.value}

import json

import pytest

from admin_core.report import Prescription
from admin_core.report_files.about import About
from admin_core.report_files.markdown import code, markdown, paragraph, prose
from tests.admin_core.reports import HOSTILE, deep_diagnosis, diagnosis, raced


def test_begins_with_the_verdict_and_its_reasons() -> None:
    report = diagnosis()
    assert report.verdict is not None
    lines = markdown(report, About(title="A model")).splitlines()
    assert lines[0] == f"## A model: {report.verdict.outcome.value.replace('_', ' ')}"
    assert lines[2].startswith("| rule | where | says |")
    assert prose(report.verdict.reasons[0].explanation) in lines[4]


def test_omegas_are_folded() -> None:
    text = markdown(diagnosis(), About(title="A model"))
    before, _, folded = text.partition("<details><summary>12 sub-layers</summary>\n\n")
    assert "encoder.layers.0.self_attention" in folded
    assert "| omega |" not in before


def test_every_row_of_a_table_has_as_many_cells() -> None:
    text = markdown(raced(), About(title="A race"))
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert len(rows) == 4


def test_a_race_begins_with_its_conclusion() -> None:
    lines = markdown(raced(), About(title="A race")).splitlines()
    assert lines[0] == "## A race"
    assert lines[2].startswith("post_ln ")


def test_a_hostile_name_is_neither_markup_nor_mention() -> None:
    text = markdown(raced(), About(title=HOSTILE, request={"model": {"x": HOSTILE + "```"}}))
    prose_part, _, request = text.partition("```json")
    outside_code = "".join(prose_part.split("`")[::2])
    assert "<img" not in outside_code.replace("\\<img", "")
    assert "**b**" not in outside_code.replace("\\*\\*b\\*\\*", "")
    assert "@all" not in outside_code
    assert request.count("```") == 1
    assert "\x07" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", "`a\\|b`"),
        ("a`b", "`a'b`"),
        ("a\nb", "`a b`"),
        ("", "` `"),
    ],
)
def test_a_code_span_holds_any_name(text: str, expected: str) -> None:
    assert code(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("post_ln ended at 3.303 ± 0.010.", "post_ln ended at 3.303 ± 0.010."),
        ("https://a.example", "https\\://a.example"),
        ("_b_ <i>", "\\_b\\_ \\<i\\>"),
        ("trained, but: spiked", "trained, but: spiked"),
    ],
)
def test_prose_is_read_as_it_is(text: str, expected: str) -> None:
    assert prose(text) == expected


@pytest.mark.parametrize("text", ["- a", "+ a", "1. a", "2) a", "= a"])
def test_a_paragraph_is_no_list(text: str) -> None:
    assert "\\" in paragraph(text)


def test_a_very_deep_model_fits_into_a_comment() -> None:
    assert len(markdown(deep_diagnosis(5_000), About(title="A model"))) < 65_536


def test_the_first_prescription_is_a_block_to_copy_and_the_others_are_folded() -> None:
    report = diagnosis()
    assert report.verdict is not None
    changes = [
        Prescription(
            change="Admin", patch={"model": {"scheme": "admin"}}, failure_probability=0.04
        ),
        Prescription(
            change="A warm-up of 60 steps",
            patch={"training": {"warmup_steps": 60}, "model": {"x": "```" + "y" * 90}},
            failure_probability=0.1,
        ),
    ]
    verdict = report.verdict.model_copy(update={"prescriptions": changes})
    text = markdown(report.model_copy(update={"verdict": verdict}), About(title="A model"))
    shown, _, folded = text.partition("<details><summary>1 other change</summary>\n\n")
    assert '```json\n{"model": {"scheme": "admin"}}\n```' in shown
    block = folded.partition("```json\n")[2].partition("\n```")[0]
    assert json.loads(block) == changes[1].patch

import xml.etree.ElementTree as ET

import pytest

from admin_core.report import Finding, Outcome, Report
from admin_core.report_files.about import About
from admin_core.report_files.junit import junit
from tests.admin_core.reports import HOSTILE, diagnosis


def suite_of(report: Report, fail_on: Outcome = Outcome.UNSTABLE, title: str = "x") -> ET.Element:
    suite = ET.fromstring(junit(report, About(title=title), fail_on=fail_on)).find("testsuite")
    assert suite is not None
    return suite


def said(outcome: Outcome) -> Report:
    """The report, of whose reasons the first says this and the others that all is well."""
    verdict = diagnosis().verdict
    assert verdict is not None
    reasons = [reason.model_copy(update={"outcome": Outcome.STABLE}) for reason in verdict.reasons]
    reasons[0] = reasons[0].model_copy(update={"outcome": outcome, "path": HOSTILE})
    verdict = verdict.model_copy(update={"outcome": outcome, "reasons": reasons})
    return diagnosis().model_copy(update={"verdict": verdict})


def failures(suite: ET.Element) -> list[str]:
    return [case.attrib["name"] for case in suite if case.find("failure") is not None]


def test_every_rule_is_one_test_case() -> None:
    report = diagnosis()
    assert report.verdict is not None
    assert report.stability_rules is not None
    assert report.numeric_range is not None
    expected = list(dict.fromkeys(reason.rule for reason in report.verdict.reasons))
    expected += [check.rule for check in report.stability_rules.checks]
    expected += [check.rule for check in report.numeric_range.checks]
    suite = suite_of(report)
    assert [case.attrib["name"] for case in suite] == expected
    assert suite.attrib["tests"] == str(len(expected))


def test_a_rule_of_an_unstable_verdict_fails() -> None:
    suite = suite_of(said(Outcome.UNSTABLE))
    assert failures(suite) == [suite[0].attrib["name"]]
    assert suite.attrib["failures"] == "1"


def test_at_risk_fails_where_the_caller_says_so() -> None:
    report = said(Outcome.AT_RISK)
    assert failures(suite_of(report)) == []
    assert len(failures(suite_of(report, Outcome.AT_RISK))) == 1


def test_a_rule_outside_the_verdict_never_fails_but_says_what_it_found() -> None:
    report = said(Outcome.STABLE)
    assert report.stability_rules is not None
    fired = [check for check in report.stability_rules.checks if check.offending]
    suite = suite_of(report)
    assert failures(suite) == []
    for check in fired:
        case = next(case for case in suite if case.attrib["name"] == check.rule)
        assert check.findings[0].path in (case.findtext("system-out") or "")


def test_hostile_words_are_words() -> None:
    suite = suite_of(said(Outcome.UNSTABLE), title=HOSTILE)
    assert suite.attrib["name"] == HOSTILE.replace("\x07", "\ufffd")
    assert "<img src=x" in (suite[0].findtext("failure") or "")


def test_without_a_verdict_there_are_only_the_other_rules() -> None:
    suite = suite_of(diagnosis().model_copy(update={"verdict": None}))
    assert {case.attrib["classname"] for case in suite} == {"trimtab.advice"}


def test_findings_of_one_rule_are_one_test_case() -> None:
    """GitLab drops a second test case of the same class and name."""
    finding = Finding(
        rule="NoFinalNorm",
        path="layers.3",
        measured=0,
        threshold=1,
        formula="norms after the last sum < 1",
        explanation="Nothing normalises the last state.",
        suggestion="Put a norm behind the last layer.",
    )
    findings = [finding, finding.model_copy(update={"path": "layers.4"})]
    suite = suite_of(diagnosis().model_copy(update={"findings": findings}))
    [case] = [case for case in suite if case.attrib["classname"] == "trimtab.network"]
    assert [line[:9] for line in (case.findtext("system-out") or "").splitlines()] == [
        "layers.3:",
        "layers.4:",
    ]


def test_a_verdict_that_cannot_be_had_is_skipped_and_says_why() -> None:
    unavailable = {"verdict": "The network gives no loss."}
    report = diagnosis().model_copy(update={"verdict": None, "unavailable": unavailable})
    suite = suite_of(report)
    skipped = suite[0].find("skipped")
    assert skipped is not None
    assert skipped.attrib["message"] == "The network gives no loss."
    assert suite.attrib["skipped"] == "1"


SUITE = {"name": str, "tests": int, "failures": int, "errors": int, "skipped": int, "time": float}
GRAMMAR: dict[str, tuple[dict[str, type], dict[str, type], set[str]]] = {
    "testsuites": ({}, SUITE, {"testsuite"}),
    "testsuite": ({"name": str, "tests": int}, SUITE, {"testcase"}),
    "testcase": (
        {"name": str, "classname": str, "time": float},
        {},
        {"failure", "skipped", "system-out"},
    ),
    "failure": ({"message": str, "type": str}, {}, set()),
    "skipped": ({}, {"message": str}, set()),
    "system-out": ({}, {}, set()),
}
"""What Jenkins' schema of JUnit files, GitLab's reader and the readers of GitHub's actions all
take: of each element the attributes it needs, those it may have, and what may stand inside."""


@pytest.mark.parametrize("outcome", [Outcome.STABLE, Outcome.UNSTABLE])
def test_keeps_to_what_readers_agree_on(outcome: Outcome) -> None:
    root = ET.fromstring(junit(said(outcome), About(title=HOSTILE)))
    assert root.tag == "testsuites"
    for element in root.iter():
        needed, allowed, inside = GRAMMAR[element.tag]
        assert needed.keys() <= element.attrib.keys() <= needed.keys() | allowed.keys()
        for name, value in element.attrib.items():
            (needed | allowed)[name](value)
        assert {child.tag for child in element} <= inside
    names = [(case.attrib["classname"], case.attrib["name"]) for case in root.iter("testcase")]
    assert len(names) == len(set(names))
    # Of both kinds of counts, readers take either.
    assert root.attrib["failures"] == root[0].attrib["failures"]

"""A diagnosis as JUnit XML, with one test case for each rule, for CI systems that show such files.

A rule of the verdict fails where it says what the caller fails on. The other rules never do, as
they do not enter the verdict: PoorWeightInitialization, for one, fires on nearly every Transformer.
What they found is in the test case's output.
"""

import re
import xml.etree.ElementTree as ET

from admin_core.report import Finding, Outcome, Reason, Report, RuleCheck
from admin_core.report_files.about import About
from admin_core.report_files.tables import number, rule_checks, words

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report, about: About, *, fail_on: Outcome = Outcome.UNSTABLE) -> str:
    """One suite; the verdict's rules first.

    Args:
        fail_on: the mildest outcome that fails.
    """
    severity = list(Outcome)
    failing = severity[severity.index(fail_on) :]
    cases: list[ET.Element] = []
    by_rule: dict[str, list[Reason]] = {}
    verdict = report.verdict
    for reason in verdict.reasons if verdict is not None else ():
        if verdict is not None and verdict.failure_probability is not None:
            # The causes are weighed together; alone, each may say more or less than the verdict.
            reason = reason.model_copy(update={"outcome": verdict.outcome})
        by_rule.setdefault(reason.rule, []).append(reason)
    cases += [_verdict_case(rule, found, failing) for rule, found in by_rule.items()]
    cases += [_advice_case(check) for check in rule_checks(report)]
    cases += [_finding_case(finding) for finding in report.findings]
    failures = sum(1 for case in cases if case.find("failure") is not None)
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": "0"}
    seconds = f"{sum(report.environment.durations_seconds.values()):.3f}"
    suite = ET.Element("testsuite", {"name": _xml(about.title), **counts, "time": seconds})
    suite.extend(cases)
    root = ET.Element("testsuites", {"name": "trimtab", **counts, "time": seconds})
    root.append(suite)
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _verdict_case(rule: str, found: list[Reason], failing: list[Outcome]) -> ET.Element:
    case = ET.Element("testcase", {"classname": "trimtab.verdict", "name": _xml(rule)})
    wrong = [reason for reason in found if reason.outcome in failing]
    if wrong:
        worst = wrong[0]
        failure = ET.SubElement(
            case,
            "failure",
            {"type": worst.outcome.value, "message": _xml(worst.explanation)},
        )
        failure.text = _xml("\n".join(_told(reason) for reason in wrong))
    fine = [reason for reason in found if reason not in wrong]
    if fine:
        ET.SubElement(case, "system-out").text = _xml("\n".join(_told(one) for one in fine))
    return case


def _told(reason: Reason) -> str:
    return (
        f"{reason.path}: {words(reason.outcome.value)}, measured {number(reason.measured)}, "
        f"threshold {number(reason.threshold)} ({reason.formula}). {reason.explanation}"
    )


def _advice_case(check: RuleCheck) -> ET.Element:
    case = ET.Element("testcase", {"classname": "trimtab.advice", "name": _xml(check.rule)})
    if check.offending:
        lines = [f"{check.offending} of {check.checked} break this rule; the worst:"]
        lines += [_found(finding) for finding in check.findings]
        ET.SubElement(case, "system-out").text = _xml("\n".join(lines))
    return case


def _finding_case(finding: Finding) -> ET.Element:
    """Of what is wrong with how a network is put together."""
    case = ET.Element("testcase", {"classname": "trimtab.network", "name": _xml(finding.rule)})
    ET.SubElement(case, "system-out").text = _xml(_found(finding))
    return case


def _found(finding: Finding) -> str:
    return (
        f"{finding.path}: measured {number(finding.measured)}, threshold "
        f"{number(finding.threshold)} ({finding.formula}). {finding.explanation} "
        f"{finding.suggestion}"
    )


def _xml(text: str) -> str:
    """Without the characters that no XML document may hold."""
    return _NOT_XML.sub("\ufffd", text)

"""A diagnosis as JUnit XML, with one test case for each rule, for CI systems that show such files.

A rule of the verdict fails where it says what the caller fails on. The other rules never do, as
they do not enter the verdict: PoorWeightInitialization, for one, fires on nearly every Transformer.
What they found is in the test case's output. A verdict that was asked for and cannot be had is a
test case that was skipped.

What reads such files agrees on little. GitLab knows a test case by its class and name and drops a
second one of both, so that a rule is one test case however often it fires; actions of GitHub want a
time on each.
"""

import re
import xml.etree.ElementTree as ET

from admin_core.report import Finding, Outcome, Reason, Report, RuleCheck
from admin_core.report_files.about import About
from admin_core.report_files.tables import MOST_FINDINGS, number, rule_checks, words

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
    if verdict is None and "verdict" in report.unavailable:
        cases.append(_skipped_case(report.unavailable["verdict"]))
    cases += [_advice_case(check) for check in rule_checks(report)]
    found_of: dict[str, list[Finding]] = {}
    for finding in report.findings:
        found_of.setdefault(finding.rule, []).append(finding)
    cases += [_findings_case(rule, findings) for rule, findings in found_of.items()]
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(1 for case in cases if case.find("failure") is not None)),
        "errors": "0",
        "skipped": str(sum(1 for case in cases if case.find("skipped") is not None)),
    }
    seconds = f"{sum(report.environment.durations_seconds.values()):.3f}"
    suite = ET.Element("testsuite", {"name": _xml(about.title), **counts, "time": seconds})
    suite.extend(cases)
    root = ET.Element("testsuites", {"name": "trimtab", **counts, "time": seconds})
    root.append(suite)
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _case(group: str, rule: str) -> ET.Element:
    # No rule has a time of its own; that of the whole diagnosis is the suite's.
    name = {"classname": f"trimtab.{group}", "name": _xml(rule)}
    return ET.Element("testcase", {**name, "time": "0"})


def _skipped_case(why: str) -> ET.Element:
    case = _case("verdict", "verdict")
    ET.SubElement(case, "skipped", {"message": _xml(why)})
    return case


def _verdict_case(rule: str, found: list[Reason], failing: list[Outcome]) -> ET.Element:
    case = _case("verdict", rule)
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
    case = _case("advice", check.rule)
    if check.offending:
        lines = [f"{check.offending} of {check.checked} break this rule; the worst:"]
        lines += [_found(finding) for finding in check.findings]
        ET.SubElement(case, "system-out").text = _xml("\n".join(lines))
    return case


def _findings_case(rule: str, findings: list[Finding]) -> ET.Element:
    """Of what is wrong with how a network is put together."""
    case = _case("network", rule)
    lines = [_found(finding) for finding in findings[:MOST_FINDINGS]]
    if len(findings) > MOST_FINDINGS:
        lines.append(f"and {len(findings) - MOST_FINDINGS:,} more")
    ET.SubElement(case, "system-out").text = _xml("\n".join(lines))
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

"""A report as GitHub's Markdown, to be pasted into a pull request.

Names from outside stand in code spans, where nothing is Markdown, a link or a mention. A comment
may have 65,536 characters, so that long tables are thinned.
"""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from admin_core.race_report import RaceReport
from admin_core.report import Prescription, Report
from admin_core.report_files import tables
from admin_core.report_files.about import About
from admin_core.report_files.footing import footing
from admin_core.report_files.tables import NOTHING, Table

MOST_SUBLAYERS = 200
LONGEST_LINE = 88
"""Characters of JSON that is written on one line."""
MOST_REQUEST = 8_000
"""Characters of a request that is shown."""


def markdown(report: Report | RaceReport, about: About) -> str:
    """Verdict or conclusion first; what takes room is folded."""
    if isinstance(report, Report):
        parts = _diagnosis(report, about)
    else:
        parts = _race(report, about)
    parts += [_request(about), f"<sub>{prose(footing(report))}</sub>"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _diagnosis(report: Report, about: About) -> list[str]:
    parts = []
    if report.verdict is None:
        parts.append(f"## {prose(about.title)}")
    else:
        parts += [
            f"## {prose(about.title)}: {tables.headline(report.verdict)}",
            table(tables.reasons(report.verdict)),
            *_prescriptions(report.verdict.prescriptions),
            *(_titled(each) for each in tables.edges_and_beyond(report.verdict)),
        ]
    parts += [_titled(each) for each in tables.network(report)]
    if report.amplification is not None:
        parts.append(_folded(tables.growth(report.amplification)))
    checks = tables.rules(report)
    if checks is not None:
        fired = sum(1 for check in tables.rule_checks(report) if check.offending)
        parts.append(_folded(checks, f", {fired} of {len(checks.rows)} fire"))
    if report.branches:
        parts.append(_folded(tables.sublayers(report.branches, most=MOST_SUBLAYERS)))
    return parts


def _prescriptions(prescriptions: Sequence[Prescription]) -> list[str]:
    """The smallest change with its patch as a block to copy, and the others folded."""
    if not prescriptions:
        return []
    first, *others = (_prescription(number, each) for number, each in enumerate(prescriptions))
    parts = ["**What would mend it, the smallest change first**", first]
    if others:
        several = "1 other change" if len(others) == 1 else f"{len(others)} other changes"
        parts.append(_details(several, "\n\n".join(others)))
    return parts


def _prescription(number: int, prescription: Prescription) -> str:
    probability = tables.number(prescription.failure_probability, 2)
    said = f"{number}\\. {prose(prescription.change)}: failure probability {probability}"
    return f"{said}\n\n{_block(prescription.patch)}"


def _race(report: RaceReport, about: About) -> list[str]:
    told = "\n".join(f"- {outcome.value}: {prose(rule)}" for outcome, rule in report.rules.items())
    return [
        f"## {prose(about.title)}",
        paragraph(report.conclusion),
        table(tables.arms(report)),
        f"Unigram loss: {report.unigram_loss:.3f} nats.",
        _details("How outcomes are decided", told),
    ]


def _request(about: About) -> str:
    if about.request is None:
        return ""
    text = _block(about.request)
    return "" if len(text) > MOST_REQUEST else _details("The request", text)


def _block(value: Mapping[str, Any]) -> str:
    """JSON in a block that can be copied from; on one line if it is short."""
    text = json.dumps(value, ensure_ascii=True)
    if len(text) > LONGEST_LINE:
        text = json.dumps(value, indent=1, ensure_ascii=True)
    # Within JSON, a backquote stands in strings alone.
    return "```json\n" + text.replace("`", "\\u0060") + "\n```"


def table(shown: Table) -> str:
    """A GitHub table without its title."""
    rule = ["---:" if heading in shown.numbers else "---" for heading in shown.headings]
    lines = [_row([prose(heading) for heading in shown.headings]), _row(rule)]
    for row in shown.rows:
        cells = zip(shown.headings, row, strict=True)
        lines.append(
            _row(
                [
                    code(cell) if name in shown.names and cell != NOTHING else prose(cell)
                    for name, cell in cells
                ]
            )
        )
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _titled(shown: Table) -> str:
    return f"**{prose(shown.title)}**\n\n{table(shown)}"


def _folded(shown: Table, more: str = "") -> str:
    return _details(shown.title + more, table(shown))


def _details(summary: str, inside: str) -> str:
    # Up to the empty line, this is HTML.
    return f"<details><summary>{escape(summary)}</summary>\n\n{inside}\n\n</details>"


def code(text: str) -> str:
    """A code span that says `text`, on one line, also within a table."""
    plain = _one_line(text).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`" if plain.strip() else "` `"


def paragraph(text: str) -> str:
    """`prose` that is no list either, whatever it begins with."""
    return re.sub(r"^(\s*\d*)([-+=.)])", r"\1\\\2", prose(text))


def prose(text: str) -> str:
    """`text` as it is read: no markup, no link, no mention of anybody."""
    plain = re.sub(r"([\\`*{}\[\]<>#|~!&$]|\b_|_\b|:(?!\s|$))", r"\\\1", _one_line(text))
    return re.sub(r"(?i)(@)|(?<=www)\.", lambda found: found[0] + "\u200b", plain)


def _one_line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+", " ", text)

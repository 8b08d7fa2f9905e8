"""The doctor's report on a terminal: findings by subject, then the conclusions."""

from __future__ import annotations

from itertools import groupby

from ramferry.metrics.host import (
    Conclusion,
    DoctorReport,
    Evidence,
    Finding,
    QemuBuilt,
    Standing,
    Verdict,
)
from ramferry.report.lines import Lines

VERDICT_STYLES = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.PROBLEM: "bold red",
}
STANDING_STYLES = {
    Standing.READY: "green",
    Standing.UNPROVEN: "yellow",
    Standing.ABSENT: "yellow",
    Standing.BROKEN: "bold red",
}
INDENT = " " * 11
CONTENT_LIMIT = 160
"""Characters shown of one piece of evidence; JSON has all."""


def print_doctor(report: DoctorReport, lines: Lines) -> None:
    """Print the whole report. The conclusions come last, next to the prompt."""
    kernel = report.kernel if report.kernel.startswith("unknown") else f"Linux {report.kernel}"
    lines.write(f"{report.system}, {kernel}; permissions of {report.user}", style="bold")
    for subject, findings in groupby(report.findings, key=lambda finding: finding.subject):
        lines.blank()
        lines.write(subject, style="bold")
        for finding in findings:
            _print_finding(finding, lines)
    lines.blank()
    lines.write(_count(report.findings), style="bold")
    indent = " " * (2 + max(len(label) for label in _labels(report)))
    for conclusion in (report.qatzip, report.qpl):
        _print_conclusion(conclusion, indent, lines)
    for qemu in report.qemus or ():
        lines.labelled(_name(qemu), _built(qemu), indent=indent, style="")
    if report.qemus is None:
        lines.labelled(
            "QEMU", "not asked: these are the files of another root", indent=indent, style=""
        )
    elif not report.qemus:
        lines.labelled("QEMU", "there is none on the PATH", indent=indent, style="")


def evidence_line(evidence: Evidence) -> str:
    """One piece of evidence: "/sys/…/state: up"."""
    if evidence.content is None:
        return f"{evidence.path}: {evidence.trouble or 'not there'}"
    content = " | ".join(line.strip() for line in evidence.content.splitlines())
    if len(content) > CONTENT_LIMIT:
        content = content[:CONTENT_LIMIT] + "…"
    return f"{evidence.path}: {content}" if content else evidence.path


def _print_finding(finding: Finding, lines: Lines) -> None:
    style = VERDICT_STYLES[finding.verdict]
    lines.labelled(f"  {finding.verdict}", finding.sentence, indent=INDENT, style=style)
    for evidence in finding.evidence:
        lines.write(evidence_line(evidence), indent=INDENT + "  ", first=INDENT, style="dim")
    for command in finding.commands:
        lines.command(command, indent=INDENT)


def _print_conclusion(conclusion: Conclusion, indent: str, lines: Lines) -> None:
    style = STANDING_STYLES[conclusion.standing]
    lines.labelled(conclusion.name, conclusion.sentence, indent=indent, style=style)


def _labels(report: DoctorReport) -> list[str]:
    return [report.qatzip.name, report.qpl.name, *map(_name, report.qemus or ())]


def _name(qemu: QemuBuilt) -> str:
    return qemu.path.rpartition("/")[2]


def _built(qemu: QemuBuilt) -> str:
    if qemu.trouble:
        return f"could not be asked: {qemu.trouble}"
    return f"{qemu.version} has {', '.join(qemu.methods) or 'no multifd'}"


def _count(findings: tuple[Finding, ...]) -> str:
    counts = [sum(finding.verdict is verdict for finding in findings) for verdict in Verdict]
    names = ("ok", "warning", "problem")
    parts = [
        f"{count} {name}{'s' if count != 1 and name != 'ok' else ''}"
        for count, name in zip(counts, names, strict=True)
    ]
    return ", ".join(parts)

"""The doctor's report on the fake trees as text.

``python tests/doctor_golden.py`` writes the golden files anew; read their diff.
"""

from __future__ import annotations

import io
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from diagnosing import report_of
from fakes_sysroot import TREES
from ramferry.metrics.host import DoctorReport
from ramferry.report.doctor import print_doctor
from ramferry.report.lines import Lines

WIDTHS = [(tree, 80) for tree in TREES] + [("b", 120)]


def golden(tree: str, width: int) -> Path:
    return Path(__file__).parent / f"golden/doctor-{tree}-{width}.txt"


def drawn(report: DoctorReport, width: int, *, fold: bool = True) -> str:
    text = io.StringIO()
    print_doctor(report, Lines(Console(file=text, width=width), fold=fold))
    return text.getvalue()


def of_tree(tree: str, path: Path) -> DoctorReport:
    """The report, without what depends on who runs the tests: the number of their group."""
    report = report_of(TREES[tree](path))
    findings = tuple(
        replace(
            finding,
            evidence=tuple(
                replace(item, content="qat:x:989:alice") if item.path == "/etc/group" else item
                for item in finding.evidence
            ),
        )
        for finding in report.findings
    )
    return replace(report, findings=findings)


def write_all() -> None:
    for tree, width in WIDTHS:
        with tempfile.TemporaryDirectory() as folder:
            golden(tree, width).write_text(drawn(of_tree(tree, Path(folder)), width))


if __name__ == "__main__":
    write_all()

"""The doctor's report as a terminal shows it: tests/golden/doctor-*.txt."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from diagnosing import report_of
from doctor_golden import WIDTHS, drawn, golden, of_tree
from fakes_sysroot import TREES
from ramferry.metrics.host import Evidence, QemuBuilt
from ramferry.report.doctor import CONTENT_LIMIT, evidence_line, print_doctor
from ramferry.report.lines import Lines

QEMUS = (
    QemuBuilt("/usr/bin/qemu-system-x86_64", "7.2.22", ("none", "zlib", "zstd")),
    QemuBuilt("/opt/qemu-system-i386", "", (), "it ended with status 1"),
)


@pytest.mark.parametrize(("tree", "width"), WIDTHS)
def test_a_tree_is_drawn_as_its_golden_text(tree: str, width: int, tmp_path: Path) -> None:
    assert drawn(of_tree(tree, tmp_path), width) == golden(tree, width).read_text()


@pytest.mark.parametrize("tree", TREES)
def test_only_commands_and_unbroken_words_pass_the_terminals_edge(
    tree: str, tmp_path: Path
) -> None:
    for line in drawn(of_tree(tree, tmp_path), 80).splitlines():
        words = line.split()
        assert len(line) <= 80 or words[0] == "$" or len(words) == 1


def test_where_there_is_no_terminal_nothing_folds(tmp_path: Path) -> None:
    text = drawn(of_tree("f", tmp_path), 40, fold=False)
    assert "\n  problem  no shared virtual memory (SVM) for iax1, and the driver refused" in text
    console = Console(file=io.StringIO(), width=40)
    print_doctor(report_of(TREES["g"](tmp_path / "g")), Lines(console))
    assert isinstance(console.file, io.StringIO)
    assert "QATzip in hardware  software only: there is no QAT device\n" in console.file.getvalue()


def test_qemus_stand_with_the_conclusions(tmp_path: Path) -> None:
    report = replace(of_tree("g", tmp_path), qemus=QEMUS)
    assert drawn(report, 80).splitlines()[-4:] == [
        "QATzip in hardware  software only: there is no QAT device",
        "QPL                 not ready: there is no IAA device",
        "qemu-system-x86_64  7.2.22 has none, zlib, zstd",
        "qemu-system-i386    could not be asked: it ended with status 1",
    ]
    assert drawn(replace(report, qemus=()), 80).endswith("there is none on the PATH\n")


@pytest.mark.parametrize(
    ("evidence", "line"),
    [
        (Evidence("/sys/x", "up"), "/sys/x: up"),
        (Evidence("/sys/x"), "/sys/x: not there"),
        (Evidence("/sys/x", trouble="Permission denied"), "/sys/x: Permission denied"),
        (Evidence("/sys/x", ""), "/sys/x"),
        (Evidence("/sys/x", "a\n b"), "/sys/x: a | b"),
        (Evidence("/sys/x", "a" * 999), f"/sys/x: {'a' * CONTENT_LIMIT}…"),
    ],
)
def test_evidence_on_one_line(evidence: Evidence, line: str) -> None:
    assert evidence_line(evidence) == line


def test_markup_in_what_was_read_is_text(tmp_path: Path) -> None:
    report = replace(of_tree("g", tmp_path), system="[bold red]no[/]")
    assert drawn(report, 80).startswith("[bold red]no[/], Linux")

"""Diagnosing fake system roots: one tree, one change, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from fakes_sysroot import TREES, Sysroot
from ramferry.hardware.diagnosis import diagnose
from ramferry.hardware.facts import discover
from ramferry.hardware.identity import Identity, named
from ramferry.hardware.root import Root
from ramferry.metrics.host import DoctorReport, Finding

Said = list[tuple[str, str, str, str]]
"""Subject, check, verdict and part of the sentence of every finding that is not ok."""

Change = Callable[[Sysroot], None]
Variants = Mapping[Change, tuple[Said, int]]
"""A change, what is said then, and the exit code."""


def report_of(root: Sysroot, identity: Identity | None = None) -> DoctorReport:
    """The doctor's report for ``identity``, else for alice, who is in group qat."""
    found = Root(str(root.path))
    return diagnose(discover(found, identity or named(found, "alice")))


def not_ok(report: DoctorReport) -> list[Finding]:
    return [finding for finding in report.findings if finding.verdict != "ok"]


def cases(tree: str, variants: Variants) -> list[Any]:
    """Parameters for ``check_variant``."""
    return [
        pytest.param(tree, change, said, code, id=f"{tree}-{change.__name__}")
        for change, (said, code) in variants.items()
    ]


def check_variant(tree: str, change: Change, said: Said, code: int, path: Path) -> None:
    """Every finding that is not ok is one of ``said``, in its order, with its words."""
    root = TREES[tree](path)
    change(root)
    report = report_of(root)
    found = not_ok(report)
    assert [(f.subject, f.check, str(f.verdict)) for f in found] == [line[:3] for line in said]
    for finding, (*_, words) in zip(found, said, strict=True):
        assert words in finding.sentence
        assert finding.evidence
    assert report.exit_code == code

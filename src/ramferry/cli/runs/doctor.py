"""What ``ramferry doctor`` does; its options are in ``cli.doctor``."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict

from rich.console import Console

from ramferry.cli.json_file import JsonFile
from ramferry.cli.results import put
from ramferry.control.qemu.binaries import ask_qemus
from ramferry.hardware.diagnosis import diagnose
from ramferry.hardware.facts import HostFacts, discover
from ramferry.hardware.identity import current, named
from ramferry.hardware.root import Root
from ramferry.metrics.document import document
from ramferry.qatzip.proof import prove
from ramferry.report.doctor import print_doctor
from ramferry.report.lines import Lines


def run(sysroot: str, user: str | None, json_file: JsonFile | None) -> None:
    """Run it, with the values of its options."""
    root, facts = facts_of(sysroot, user)
    qemus = None if root.replaced else ask_qemus(os.environ.get("PATH", os.defpath))
    # a job shows what this process may do, not another user, and on this host alone
    report = diagnose(facts, qemus, None if root.replaced or user else prove)
    put(
        document("doctor", asdict(report)),
        json_file,
        lambda out: print_doctor(report, Lines(Console(file=out))),
    )
    sys.exit(report.exit_code)


def facts_of(sysroot: str, user: str | None = None) -> tuple[Root, HostFacts]:
    """Read the facts below a root, with the permissions of ``user`` or of this process."""
    root = Root(sysroot)
    return root, discover(root, named(root, user) if user else current(root))

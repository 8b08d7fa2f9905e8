"""``ramferry doctor``: QAT, IAA and the QEMUs of this host."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict

import click
from rich.console import Console

from ramferry.cli.json_file import JsonFile, json_option
from ramferry.cli.results import put
from ramferry.control.qemu.binaries import ask_qemus
from ramferry.hardware.diagnosis import diagnose
from ramferry.hardware.facts import HostFacts, discover
from ramferry.hardware.identity import current, named
from ramferry.hardware.root import Root
from ramferry.qatzip.proof import prove
from ramferry.report.doctor import print_doctor
from ramferry.report.document import document
from ramferry.report.lines import Lines


def facts_of(sysroot: str, user: str | None = None) -> tuple[Root, HostFacts]:
    """Read the facts below a root, with the permissions of ``user`` or of this process."""
    root = Root(sysroot)
    return root, discover(root, named(root, user) if user else current(root))


@click.command()
@click.option(
    "--sysroot",
    default="/",
    metavar="DIR",
    help="Read every file below DIR, as from a copy of another host. Default: /.",
)
@click.option(
    "--user",
    metavar="NAME",
    help="Judge permissions for this user, as the one that QEMU runs as. Default: you.",
)
@json_option()
def command(sysroot: str, user: str | None, json_file: JsonFile | None) -> None:
    """Find QAT and IAA devices, what is wrong with them, and the command that mends it.

    Reads only what is safe to read on a busy host. Where this host has a QAT device, it also
    compresses 128 KiB on it and tells whether the device did it, unless --user is given. Exits with
    0 where QATzip in hardware or QPL is ready, 10 where there is no device and software does the
    work, 11 where the set-up is broken.
    """
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

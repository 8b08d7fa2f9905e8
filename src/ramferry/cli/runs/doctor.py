"""What ``ramferry doctor`` does; its options are in ``cli.doctor``."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import Any, NoReturn

from rich.console import Console

from ramferry.cli.json_file import JsonFile
from ramferry.cli.results import put
from ramferry.cli.runs.domains import refuse_doctor
from ramferry.cli.ssh_settings import ssh_settings
from ramferry.cli.terminal import terminal
from ramferry.control.hosts import far_runs
from ramferry.control.hosts.ssh import Ssh
from ramferry.control.hosts.ssh_uri import parse_ssh_host
from ramferry.control.qemu.binaries import ask_qemus
from ramferry.errors import HostError
from ramferry.hardware.diagnosis import diagnose
from ramferry.hardware.facts import HostFacts, discover
from ramferry.hardware.identity import current, named
from ramferry.hardware.root import Root
from ramferry.metrics.document import document
from ramferry.qatzip.proof import prove
from ramferry.report.doctor import print_doctor
from ramferry.report.lines import Lines
from ramferry.standard import shown
from ramferry.typed import decode


def run(
    host: str | None,
    sysroot: str,
    user: str | None,
    remote_command: str,
    json_file: JsonFile | None,
) -> None:
    """Run it, with the values of its options."""
    refuse_doctor(host)
    if host is not None:
        _run_there(host, sysroot, user, remote_command, json_file)
    ssh_settings(None, remote_command)  # refuses options that are for another host
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


def _run_there(
    host: str, sysroot: str, user: str | None, remote_command: str, json_file: JsonFile | None
) -> NoReturn:
    """Run it on another host, and show here what it showed there.

    :raise RamferryError: it could not begin, or not do its work.
    """
    uri = parse_ssh_host(host)
    arguments = ["doctor", "--json", "-", "--sysroot", sysroot, *(("--user", user) if user else ())]
    with terminal() as at, Ssh(uri, ssh_settings(uri, remote_command)) as there:
        ended = far_runs.run(there, arguments, at.stop)
    try:
        found = decode(ended.output, dict[str, Any])
    except (ValueError, RecursionError):
        words = ended.words.strip().splitlines() or ["it says nothing"]
        last = words[-1].removeprefix("ramferry: ")
        raise HostError(f"the doctor on {uri} did not come to an end: {last}") from None

    # with --json - it draws on its standard error
    told = "".join(f"{shown(line)}\n" for line in ended.words.splitlines())
    put(found, json_file, lambda out: print(told, end="", file=out))
    sys.exit(ended.exit_code)


def facts_of(sysroot: str, user: str | None = None) -> tuple[Root, HostFacts]:
    """Read the facts below a root, with the permissions of ``user`` or of this process."""
    root = Root(sysroot)
    return root, discover(root, named(root, user) if user else current(root))

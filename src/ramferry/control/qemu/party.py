"""One QEMU as the choice of a route needs it: what it can do, and where it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ramferry.control.hosts.contract import Host, SharedFolder
from ramferry.control.hosts.process import Process
from ramferry.control.qemu.probe import QemuFacts
from ramferry.control.qemu.uri import qmp_host


@dataclass(frozen=True, slots=True)
class Party:
    """One QEMU."""

    uri: str
    """Its QMP address."""
    facts: QemuFacts
    host: Host
    """Where it runs."""
    process: Process | None = None
    """Its process, if it is one of this kernel's; else None."""

    def folder(self, *parents: Path) -> SharedFolder:
        """Make a folder that it may use; see ``Host.folder``."""
        return self.host.folder(self.uri, self.process, parents)


def party_of(uri: str, facts: QemuFacts, pid: int | None, host: Host) -> Party:
    """The QEMU at a QMP address.

    :param pid: its process; None if it runs on another host than ``host``.
    """
    if pid is None:
        return Party(uri, facts, host.without_process(qmp_host(uri) or ""))
    return Party(uri, facts, host, host.process(pid))

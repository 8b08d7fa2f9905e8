"""The ways a guest goes to a file and comes back: Ramferry's, and what QEMU itself can do.

Two of QEMU's are what libvirt does. Its compressed save files are one stream through a command, as
``exec:`` sends it. Its "sparse" save files (libvirt 11.2, 2025) are ``file:`` with the capabilities
``mapped-ram`` and ``multifd``, with as many multifd channels as ``--parallel-channels`` says, and
with ``direct-io`` only where ``--bypass-cache`` asks for it, so it is off here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ramferry.bench.qemu import QemuBinary

FILE_SINCE: Final = (8, 2, 0)
"""QEMU's first version with ``file:``."""
MAPPED_SINCE: Final = (9, 0, 0)
"""QEMU's first version with ``mapped-ram``."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a guest goes to a file and comes back."""

    name: str
    method: str = ""
    """Method of ``ramferry save``; empty if QEMU itself saves."""
    save_uri: str = ""
    """Migration URI for QEMU, with ``{}`` in place of the file's path."""
    restore_uri: str = ""
    capabilities: tuple[str, ...] = ()
    """QEMU's migration capabilities that are on at both ends; with ``multifd`` among them, QEMU
    uses as many channels as Ramferry does."""

    def settings(self, channels: int, *, on: bool = True) -> list[tuple[str, dict[str, Any]]]:
        """QMP commands that set a QEMU up for this way, or undo that.

        :param on: False undoes it, since other ways take the QEMU's defaults.
        """
        if not self.capabilities:
            return []
        states = [{"capability": name, "state": on} for name in self.capabilities]
        commands: list[tuple[str, dict[str, Any]]] = [
            ("migrate-set-capabilities", {"capabilities": states})
        ]
        if on and "multifd" in self.capabilities:
            commands.append(("migrate-set-parameters", {"multifd-channels": channels}))
        return commands


OURS: Final = (
    Way("ramferry save, zstd 1", "zstd"),
    Way("ramferry save, qatzip 1", "qatzip"),
    Way("ramferry save, none", "none"),
)
_UNZSTD: Final = "exec:zstd -q -dc {}"
"""A frame is inflated by one thread, whatever ``-T`` says."""
EXEC: Final = Way("QEMU exec:zstd -1", "", "exec:zstd -q -1 -c > {}", _UNZSTD)
EXEC_ALL_CORES: Final = Way("QEMU exec:zstd -1 -T0", "", "exec:zstd -q -1 -T0 -c > {}", _UNZSTD)
FILE: Final = Way("QEMU file:", "", "file:{}", "file:{}")
MAPPED: Final = Way(
    "QEMU file:, mapped-ram, multifd (libvirt's sparse)",
    "",
    "file:{}",
    "file:{}",
    ("mapped-ram", "multifd"),
)


def ways(
    binary: QemuBinary, which: Callable[[str], str | None] = shutil.which
) -> tuple[list[Way], list[str]]:
    """The ways that can be compared on this host with this QEMU, and a sentence for each that
    cannot.

    :param which: finds a command's path.
    """
    zstd = "" if which("zstd") else "there is no zstd command on this host"
    needs: list[tuple[Way, str]] = [
        (EXEC, zstd),
        (EXEC_ALL_CORES, zstd),
        (FILE, _before(binary, FILE_SINCE)),
        (MAPPED, _before(binary, MAPPED_SINCE)),
    ]
    able = [way for way, lack in needs if not lack]
    return [*OURS, *able], [f"{way.name} is left out: {lack}" for way, lack in needs if lack]


def _before(binary: QemuBinary, since: tuple[int, int, int]) -> str:
    """What the QEMU lacks if it is older than ``since``; otherwise empty."""
    if binary.version >= since:
        return ""
    return f"it needs QEMU {since[0]}.{since[1]}, and this is {binary.name}"

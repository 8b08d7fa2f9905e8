"""Whether a save file may need more room than the disk has: a guess, since nobody knows how well
memory compresses."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ramferry.control.hosts.process import Process
from ramferry.control.qemu.end import QemuEnd
from ramferry.errors import MethodUnavailable
from ramferry.units import memory


def room_note(source: QemuEnd, file: Path) -> str:
    """A warning if the file system has less room than the guest's memory needs; otherwise empty."""
    try:
        system = os.statvfs(file.parent)
    except OSError:
        return ""  # who opens the file says what is wrong with its folder
    free = system.f_bavail * system.f_frsize
    used = memory_in_use(source)
    if used is None or free >= used:
        return ""
    share = f"{free / used:.0%}" if free >= used / 100 else "less than 1%"
    return (
        f"the file system of {file} has {memory(free)} left, and the guest uses up to "
        f"{memory(used)}: where that does not compress to {share} of it, the save will "
        "fail, and leave no file and the guest as it is"
    )


def nearly_full(file: Path) -> bool:
    """Whether the file system of ``file`` has less than a tenth of its room left."""
    try:
        system = os.statvfs(file.parent)
    except OSError:
        return False  # who writes the file says what is wrong
    return system.f_bavail < system.f_blocks / 10


def memory_in_use(source: QemuEnd) -> int | None:
    """An upper bound for the bytes of guest RAM that have content; None if it is not known."""
    with suppress(MethodUnavailable):
        summary = source.execute("query-memory-size-summary")
        total = int(summary["base-memory"]) + int(summary.get("plugged-memory", 0))
        resident = None if _is_shared(source) else _resident(source.party.process)
        return total if resident is None else min(total, resident)
    return None


def _is_shared(source: QemuEnd) -> bool:
    """Whether guest memory is shared, so that another process may have filled it."""
    return any(device.get("share", True) for device in source.execute("query-memdev"))


def _resident(process: Process | None) -> int | None:
    with suppress(OSError, ValueError):
        return None if process is None else process.memory_bytes()
    return None

"""The QEMU of a libvirt domain on this host, found without a monitor.

libvirt writes its process id to a file beside its own state (``/run/libvirt/qemu/NAME.pid``), gives
it the domain's UUID by ``-uuid``, and has it name its threads (``-name debug-threads=on``): a
vCPU's is "CPU 0/KVM" or "CPU 0/TCG".
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

STATE: Final = Path("/run/libvirt/qemu")
"""Where the system's daemon keeps process ids."""

_VCPU: Final = re.compile(r"CPU \d+/")

Found = tuple[int, tuple[int, ...]]
"""A process id, and the thread ids of its vCPUs."""


def places(uid: int, environment: dict[str, str] | None = None) -> tuple[Path, ...]:
    """The folders where a daemon keeps process ids: the system's, and a user's own."""
    runtime = (os.environ if environment is None else environment).get("XDG_RUNTIME_DIR")
    return STATE, Path(runtime or f"/run/user/{uid}") / "libvirt/qemu/run"


def find(name: str, uuid: str) -> Found | None:
    """The QEMU of a domain; None if there is none that this user can see.

    :param uuid: the domain's.
    """
    for place in places(os.geteuid()):
        try:
            pid = int((place / f"{name}.pid").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"-uuid" in words and words[words.index(b"-uuid") + 1] == uuid.encode():
                return pid, _vcpus(pid)
        except (OSError, ValueError, IndexError):
            continue  # not this daemon's, or it has just ended
    return None


def _vcpus(pid: int) -> tuple[int, ...]:
    tasks = Path(f"/proc/{pid}/task")
    names = {int(task.name): _name(task) for task in tasks.iterdir()}
    return tuple(sorted(thread for thread, name in names.items() if _VCPU.match(name)))


def _name(task: Path) -> str:
    try:
        return (task / "comm").read_text(errors="replace")
    except OSError:
        return ""  # it has just ended

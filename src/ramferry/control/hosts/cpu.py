"""CPU time that a migration costs a QEMU: that of its process without the vCPU threads.

A vCPU thread runs the guest's own work, which a migration does not cause; everything else that the
process does while it migrates counts: migration and multifd threads and the main loop.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ramferry.transport.address import is_local_host

_TICKS: Final = os.sysconf("SC_CLK_TCK")


def qemu_pid(peer_pid: int | None, vcpu_threads: Sequence[int]) -> int | None:
    """The process on this host that these vCPU threads belong to; None if there is none.

    :param peer_pid: the process that the kernel names at the far end of a QMP ``unix:`` socket. For
        a forwarded socket that is the forwarder, and a QEMU in a container has other numbers for
        its threads; then the threads do not belong to that process, and the QEMU counts as remote.
    """
    if peer_pid is None or not vcpu_threads:
        return None
    tasks = Path(f"/proc/{peer_pid}/task")
    return peer_pid if all((tasks / str(tid)).exists() for tid in vcpu_threads) else None


def owner_of(thread: int) -> int | None:
    """The QEMU process that a thread of this host belongs to; None if it belongs to no QEMU.

    For a QMP port on the loopback, for which the kernel does not name the process at the far end.
    The process's name is checked, because the port may be forwarded and the thread id happen to be
    in use here.
    """
    try:
        for line in Path(f"/proc/{thread}/status").read_text().splitlines():
            if line.startswith("Tgid:"):
                pid = int(line.split()[1])
                name = Path(f"/proc/{pid}/comm").read_text(errors="replace")
                return pid if "qemu" in name else None
    except OSError:
        return None
    return None


def process_of(host: str | None, peer_pid: int | None, vcpu_threads: Sequence[int]) -> int | None:
    """The QEMU's process on this host; None if it runs on another, or in a container.

    :param host: of its QMP address; None if that is a socket's path.
    :param peer_pid: as ``qemu_pid`` takes it.
    """
    if host is None:
        return qemu_pid(peer_pid, vcpu_threads)
    if not is_local_host(host) or not vcpu_threads:
        return None
    return qemu_pid(owner_of(vcpu_threads[0]), vcpu_threads)


@dataclass(frozen=True, slots=True)
class CpuMeter:
    """Reads one QEMU's CPU time; ``pid`` is None if the QEMU is on another host."""

    pid: int | None
    vcpu_threads: tuple[int, ...]

    def seconds(self) -> float | None:
        """User and system time so far, without vCPU threads; None if it cannot be read.

        The time of threads that ended stays in the process's total, so that multifd threads count.
        """
        if self.pid is None:
            return None
        process = Path(f"/proc/{self.pid}")
        try:
            running = {int(task.name): task for task in (process / "task").iterdir()}
            guest = [_seconds(running[tid]) for tid in self.vcpu_threads if tid in running]
            return _seconds(process) - sum(guest)
        except OSError:
            return None


def _seconds(task: Path) -> float:
    """User and system time of a process or thread: the 14th and 15th field of its ``stat``."""
    # the second field is a name, which may hold blanks and parentheses
    fields = (task / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def percent(
    before: float | None, after: float | None, relay_seconds: float, total_ms: int
) -> float | None:
    """CPU of one side over the total time, in % of one core; None if a reading is missing."""
    if before is None or after is None or total_ms <= 0:
        return None
    # Two clocks of 10 ms ticks are subtracted; an idle process can come out a tick below zero.
    return max(0.0, after - before + relay_seconds) * 100_000 / total_ms

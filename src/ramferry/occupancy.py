"""How long cores were taken, by whoever it was, as the kernel counts it since it was started."""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

_STAT: Final = Path("/proc/stat")
_UNUSED: Final = (3, 4)
"""Columns of ``/proc/stat`` (proc(5)) in which a core had nothing to do: idle and iowait. The
others up to steal count as taken: also what a hypervisor took for other guests."""
_COLUMNS: Final = 8
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def taken_seconds(cpus: AbstractSet[int]) -> float | None:
    """Seconds that these cores were taken, all together; None if the kernel tells nothing.

    :param cpus: numbers of cores, as ``allowance.cpus`` has them.
    """
    try:
        lines = _STAT.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return sum(seconds for cpu, seconds in map(_of_line, lines) if cpu in cpus)


def _of_line(line: str) -> tuple[int, float]:
    """Which core a line is of, and the seconds for which that was taken; -1 if it is of none."""
    name, *columns = line.split()
    number = name.removeprefix("cpu")
    if not name.startswith("cpu") or not number.isdigit():
        return -1, 0.0
    taken = sum(int(one) for at, one in enumerate(columns[:_COLUMNS]) if at not in _UNUSED)
    return int(number), taken / _TICKS

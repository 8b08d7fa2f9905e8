"""How many cores a process may use: the one rule for whoever reckons with cores or starts threads.

It is the least of the cores that the process may run on (sched_setaffinity(2)), of what its control
group and those above it allow, such as by systemd's ``CPUQuota=``, and of a limit that was asked
for. What others take of these cores is not looked at here.
"""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path, PurePosixPath
from typing import Final

_GROUPS: Final = Path("/sys/fs/cgroup")
"""Where version 2 is mounted, and …"""
_PROC: Final = Path("/proc")
"""… where ``PID/cgroup`` says which group a process is in: the line of hierarchy 0 (cgroups(7))."""


def cpus(pid: int = 0) -> frozenset[int]:
    """The numbers of the cores that a process may run on; those of this one if the kernel tells
    nothing of it.

    :param pid: a process of this host; 0: this one.
    """
    with contextlib.suppress(OSError):
        return frozenset(os.sched_getaffinity(pid))
    return frozenset(os.sched_getaffinity(0))


def quota(pid: int = 0) -> float:
    """The cores that a process's control group and those above allow; 0 if none of them limits, or
    none is seen.

    Each group's ``cpu.max`` has microseconds of core time and of the period for which they are, or
    ``max`` (Documentation/admin-guide/cgroup-v2.rst of Linux).

    :param pid: as for ``cpus``.
    """
    least = 0.0
    with contextlib.suppress(OSError, ValueError):
        own = _PROC / (str(pid) if pid else "self") / "cgroup"
        for line in own.read_text(encoding="utf-8").splitlines():
            hierarchy, _, path = line.split(":", 2)
            if hierarchy == "0":
                group = PurePosixPath(path)
                allowed = [_allowed(one) for one in (group, *group.parents)]
                least = min((cores for cores in allowed if cores), default=0.0)
    return least


def allowed_cores(limit: float = 0.0, pid: int = 0) -> float:
    """The cores that a process may use, more than 0; not a whole number where a quota says so.

    :param limit: most that it should use; 0: as many as it may.
    :param pid: as for ``cpus``.
    """
    return min(one for one in (len(cpus(pid)), quota(pid), limit) if one)


def whole_cores(limit: float = 0.0) -> int:
    """How many cores this process can keep busy all the time, at least 1.

    :param limit: as for ``allowed_cores``.
    """
    return max(1, math.floor(allowed_cores(limit)))


def busy_threads() -> int:
    """The fewest threads that use all that this process may: more would only be stopped sooner, all
    at once, by a quota."""
    return math.ceil(allowed_cores())


def _allowed(group: PurePosixPath) -> float:
    """Cores that one group allows; 0 if it does not limit: the topmost one has no such file."""
    with contextlib.suppress(OSError, ValueError):
        file = _GROUPS / group.relative_to("/") / "cpu.max"
        micros, period = file.read_text(encoding="ascii").split()
        return float(micros) / float(period) if micros != "max" else 0.0
    return 0.0

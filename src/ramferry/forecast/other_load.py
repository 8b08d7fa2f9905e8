"""CPU load of unrelated processes on this host, which no forecast can know in advance."""

from __future__ import annotations

import resource
import time
from contextlib import suppress

import psutil

from ramferry.allowance import cpus
from ramferry.occupancy import taken_seconds


class OtherLoad:
    """How many of the cores that this process may run on unrelated processes keep busy, from when
    the object was made.

    Unrelated are all but this process, its children that have ended, and the process ``pid``.
    """

    def __init__(self, pid: int | None = None) -> None:
        """
        :param pid: a process that is not unrelated and still runs when ``cores`` is asked.
        """
        self._pid = pid
        self._cpus = cpus()
        self._begun = self._now()

    def cores(self) -> float:
        """The number of cores, on average; 0 if the kernel tells nothing."""
        clock, busy = (now - then for now, then in zip(self._now(), self._begun, strict=True))
        return max(0.0, busy / clock) if clock > 0 else 0.0

    def _now(self) -> tuple[float, float]:
        own = self._own()
        taken = taken_seconds(self._cpus)
        return time.monotonic(), (own if taken is None else taken) - own

    def _own(self) -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        seconds = sum(one.ru_utime + one.ru_stime for one in used)
        if self._pid is not None:
            with suppress(psutil.Error):
                times = psutil.Process(self._pid).cpu_times()
                seconds += times.user + times.system
        return seconds

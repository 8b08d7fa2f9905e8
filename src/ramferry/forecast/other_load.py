"""The CPU load of unrelated processes, which makes a time longer that no forecast can know."""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from typing import Final

import psutil

NOTABLE_LOAD: Final = 0.3
"""Cores that others keep busy from which on it is said: with 0.4 to 1.6 of two cores taken,
migrations that the cores limit took up to 2.1 times what was forecast for two free ones."""


class OtherLoad:
    """How many of this host's cores other processes keep busy, since the object was made.

    This process, its children that have ended, and the process that it is told of do not count.
    """

    def __init__(self, pid: int | None = None) -> None:
        """:param pid: one more process that does not count; it must not have ended."""
        self._pid = pid
        self._begun = self._now()

    def cores(self) -> float:
        """The average until now."""
        clock, busy = (now - then for now, then in zip(self._now(), self._begun, strict=True))
        return max(0.0, busy / clock) if clock > 0 else 0.0

    def _now(self) -> tuple[float, float]:
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        return time.monotonic(), sum(times[:8]) - idle - self._own()

    def _own(self) -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        seconds = sum(one.ru_utime + one.ru_stime for one in used)
        if self._pid is not None:
            with suppress(psutil.Error):
                times = psutil.Process(self._pid).cpu_times()
                seconds += times.user + times.system
        return seconds

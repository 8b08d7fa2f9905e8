"""How many cores this process may have, as the kernel counts what all others take."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ramferry.allowance import allowed_cores, cpus
from ramferry.flows.session.tally import cpu_times

_STAT: Final = Path("/proc/stat")
_UNUSED: Final = (3, 4)
"""Columns of ``/proc/stat`` (proc(5)) in which a core had nothing to do: idle and iowait. The
others up to steal count as taken: also what a hypervisor took for other guests."""
_COLUMNS: Final = 8
_TICKS: Final = os.sysconf("SC_CLK_TCK")
LEAST: Final = 0.1
"""Seconds between two measurements: a tick is 10 ms."""
_SMOOTH: Final = 0.25
"""Weight of the newest measurement."""
_TURN: Final = 0.25
"""Share of the cores, up to one core, that the scheduler gives to this process even where others
would take all: without it a full host left 0.1 of two cores, and what was chosen by that let the
link rest."""


@dataclass(frozen=True, slots=True)
class Spare:
    """Cores, of those that this process may run on."""

    cores: float
    """That other processes leave to this one: what is idle, and what it uses itself."""
    used: float
    """That it uses."""


class Cores:
    """Measures it from call to call; used by one thread at a time."""

    def __init__(self, limit: float = 0.0) -> None:
        """:param limit: most cores that this process should use; 0: as many as it may."""
        self._most = allowed_cores(limit)
        self._cpus = cpus()
        self._last = self._look()
        self._spare = Spare(self._most, 0.0)

    def spare(self) -> Spare:
        """The cores lately; those of the last call if that was just now."""
        now, taken, own = self._look()
        then, taken_then, own_then = self._last
        seconds = now - then
        if seconds < LEAST:
            return self._spare
        self._last = now, taken, own
        used = (own - own_then) / seconds
        # ticks and this process's clock do not end at the same moment
        others = max((taken - taken_then) / seconds - used, 0.0)
        turn = min(_TURN * len(self._cpus), 1.0)
        cores = min(max(len(self._cpus) - others, turn), self._most)
        before = self._spare
        self._spare = Spare(
            before.cores + _SMOOTH * (cores - before.cores),
            before.used + _SMOOTH * (used - before.used),
        )
        return self._spare

    def _look(self) -> tuple[float, float, float]:
        """The time; seconds of these cores that were taken, and that this process had."""
        own = sum(cpu_times())
        return time.monotonic(), self._taken(own), own

    def _taken(self, own: float) -> float:
        """Seconds that were taken since the host was started; ``own`` if the kernel tells
        nothing."""
        try:
            lines = _STAT.read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            return own
        return sum(seconds for cpu, seconds in map(_of_line, lines) if cpu in self._cpus)


def _of_line(line: str) -> tuple[int, float]:
    """Which core a line is of, and the seconds for which that was taken; -1 if it is of none."""
    name, *columns = line.split()
    number = name.removeprefix("cpu")
    if not name.startswith("cpu") or not number.isdigit():
        return -1, 0.0
    taken = sum(int(one) for at, one in enumerate(columns[:_COLUMNS]) if at not in _UNUSED)
    return int(number), taken / _TICKS

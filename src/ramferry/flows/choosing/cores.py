"""How many cores this process may have, as the kernel counts what all others take."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from ramferry.allowance import allowed_cores, cpus
from ramferry.flows.session.tally import cpu_times
from ramferry.occupancy import taken_seconds

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
        taken = taken_seconds(self._cpus)
        return time.monotonic(), own if taken is None else taken, own

"""A migration as QEMU makes one, in numbers: rounds, rates, a limit, and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ramferry.forecast.eta import MigrationSample

MIB = 1 << 20
TICK = 0.01
POLL = 0.2
UPDATE = 0.1
"""QEMU looks at its limit and its rate as often."""


@dataclass
class Simulated:
    """``run`` yields samples as a loop sees them, and heeds ``limit_ms`` meanwhile."""

    memory: float
    """Bytes."""
    rate: float
    """Bytes a second that are carried."""
    dirties: Callable[[float], float] = lambda _: 0.0
    """Bytes a second that are written, of the seconds since the beginning."""
    hot: float = 0.0
    """Bytes that are written over and over."""
    limit_ms: float = 300.0
    most_seconds: float = 600.0
    seconds: float = 0.0
    downtime_ms: float | None = None
    """None as long as the guest runs."""
    limits: list[tuple[float, float]] = field(default_factory=list)

    def set_limit(self, milliseconds: float) -> None:
        self.limit_ms = milliseconds
        self.limits.append((self.seconds, milliseconds))

    @property
    def total_seconds(self) -> float:
        assert self.downtime_ms is not None, "it has not come to an end"
        return self.seconds + self.downtime_ms / 1000

    def run(self) -> Iterator[MigrationSample]:
        left, dirty, carried, rounds = self.memory, 0.0, 0.0, 1
        heeded, looked = self.limit_ms, -POLL
        while self.seconds < self.most_seconds:
            if self.seconds % UPDATE < TICK:
                heeded = self.limit_ms
            began = False
            if left <= self.rate * heeded / 1000:  # QEMU collects what was written, and looks again
                # of a page that waits to be sent, and is written again, there is one
                most = max(left, self.hot) if rounds > 1 else self.memory
                left, dirty = min(most, left + dirty), 0.0
                rounds, began = rounds + 1, True
                if left <= self.rate * heeded / 1000:
                    self.downtime_ms = left / self.rate * 1000
                    return
            if began or self.seconds - looked >= POLL - TICK / 2:
                looked = self.seconds
                yield MigrationSample(
                    self.seconds, "active", rounds, int(self.memory), int(left), int(carried),
                    int(carried), 0.0, None, None,
                )  # fmt: skip
            step = min(left, self.rate * TICK)
            left, carried = left - step, carried + step
            dirty = min(self.hot, dirty + self.dirties(self.seconds) * TICK)
            self.seconds += TICK

"""A cap on bytes per second that several migrations share, each a fair part of it."""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import dataclass, field
from typing import Final

from ramferry.transport.pacing import Pacer


@dataclass(order=True, slots=True)
class _Turn:
    """One caller that waits for the wire."""

    start: float
    """The place of its bytes in the lane's own order: turns are granted by it."""
    number: int
    lane: Lane = field(compare=False)
    size: int = field(compare=False)
    first: threading.Condition = field(compare=False)
    """Notified when it has become the first one."""


class SharedWire:
    """Grants the wire to lanes, as fast as the cap allows.

    Each lane has a clock that counts the bytes that it was granted; the wire is granted to the
    waiter whose lane's clock is behind most (start-time fair queueing). So every lane that has
    something to send gets an equal part, however many channels it has; what one lane leaves unused
    the others use, and a lane that was idle does not catch up. Only the first waiter watches the
    clock; whoever was granted the wire wakes the next one.
    """

    def __init__(self, rate: float) -> None:
        """:param rate: bytes per second, of all lanes together."""
        self.rate: Final = rate
        self.lock = threading.Lock()
        self._free = time.monotonic()
        """When the wire has carried all that it was granted for."""
        self._served = 0.0
        """The lane clock of what was granted last."""
        self._waiting: list[_Turn] = []
        self._asked = 0

    def lane(self) -> Lane:
        """A lane for one more migration; it takes part as long as somebody waits in it."""
        return Lane(self)

    def book(self, lane: Lane, size: int) -> float:
        """Count bytes for a lane, called with the lock; returns the place at which they begin."""
        start = max(self._served, lane.clock)
        lane.clock = start + size
        return start

    def take(self, size: int) -> None:
        """The wire carries ``size`` bytes more; called with the lock."""
        earliest = time.monotonic() - Pacer.BURST
        self._free = max(self._free, earliest) + size / self.rate

    @property
    def delay(self) -> float:
        """Seconds until the wire is free; below 0 if it is."""
        return self._free - time.monotonic()

    def wait(self, lane: Lane, size: int) -> None:
        """Wait for the lane's turn, and take ``size`` bytes of the wire."""
        with self.lock:
            self._asked += 1
            turn = _Turn(
                self.book(lane, size), self._asked, lane, size, threading.Condition(self.lock)
            )
            heapq.heappush(self._waiting, turn)
            while not lane.ended:
                if self._waiting[0] is not turn:
                    turn.first.wait()
                elif (delay := self.delay) > 0:
                    turn.first.wait(delay)
                else:
                    self._served = max(self._served, turn.start)
                    self.take(size)
                    break
            self._leave(turn)

    def wake(self, lane: Lane) -> None:
        """Wake those that wait in a lane; called with the lock."""
        for turn in self._waiting:
            if turn.lane is lane:
                turn.first.notify()

    def _leave(self, turn: _Turn) -> None:
        if self._waiting[0] is turn:
            heapq.heappop(self._waiting)
        else:
            self._waiting.remove(turn)
            heapq.heapify(self._waiting)
        if self._waiting:
            self._waiting[0].first.notify()


class Lane:
    """One migration's part of a shared wire; used as a ``pacing.Pacer``."""

    def __init__(self, wire: SharedWire) -> None:
        self._wire = wire
        self.clock = 0.0
        """Bytes that were asked for, ahead of the wire's own count; guarded by the wire's lock."""
        self.ended = False

    @property
    def rate(self) -> float:
        """Bytes per second of all lanes together."""
        return self._wire.rate

    def wait(self, size: int) -> None:
        """See ``Pacer.wait``."""
        if not self.ended:
            self._wire.wait(self, size)

    def charge(self, size: int) -> float:
        """See ``Pacer.charge``."""
        wire = self._wire
        with wire.lock:
            delay = wire.delay
            wire.book(self, size)
            wire.take(size)
            return max(delay, 0.0)

    def end(self) -> None:
        """See ``Pacer.end``."""
        with self._wire.lock:
            self.ended = True
            self._wire.wake(self)

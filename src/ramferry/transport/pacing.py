"""A cap on bytes per second, shared by all channels of a relay."""

from __future__ import annotations

import threading
import time


class Pacer:
    """Grants callers the wire in the order in which they ask, as fast as the cap allows."""

    BURST = 0.004
    """Seconds of unused wire that may be caught up: below one 512 KiB packet at 1 Gbit/s."""

    def __init__(self, rate: float) -> None:
        """:param rate: bytes per second; 0: no cap."""
        self._changed = threading.Condition()
        self._rate = rate
        self._asked = 0.0
        """Bytes that were asked for so far."""
        self._let = rate * self.BURST
        """Bytes that the wire had room for until ``_at``; at most a burst more than was asked
        for."""
        self._at = time.monotonic()
        self._ended = False

    @property
    def rate(self) -> float:
        """Bytes per second; 0: no cap. A change counts at once, also for callers that wait
        already."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        with self._changed:
            self._advance()
            self._rate = rate
            self._changed.notify_all()

    def wait(self, size: int) -> None:
        """Take ``size`` bytes of the wire and wait until their turn comes."""
        with self._changed:
            place = self._take(size)
            while not self._ended and (delay := self._until(place)) > 0:
                self._changed.wait(delay)

    def charge(self, size: int) -> float:
        """Take ``size`` bytes of the wire without waiting; returns the seconds to their turn.

        For bytes that must not queue behind the others (the main channel's): they go at once,
        and the others make room for them.
        """
        with self._changed:
            return self._until(self._take(size))

    def end(self) -> None:
        """Wake every waiter; later waits return at once."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self, size: int) -> float:
        """Reserve ``size`` bytes; returns the position of the first among all that were asked
        for."""
        self._advance()
        place = self._asked
        self._asked += size
        return place

    def _until(self, place: float) -> float:
        """Seconds until the wire has room for the byte at position ``place``; below 0 if it has
        already."""
        if not self._rate:
            return 0.0
        self._advance()
        return (place - self._let) / self._rate

    def _advance(self) -> None:
        """Count what the wire had room for since the last call."""
        now = time.monotonic()
        if self._rate:
            most = self._asked + self._rate * self.BURST
            self._let = min(self._let + (now - self._at) * self._rate, most)
        else:
            self._let = self._asked
        self._at = now

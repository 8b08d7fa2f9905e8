"""A cap on bytes per second, shared by all channels of a relay."""

from __future__ import annotations

import threading
import time


class Pacer:
    """Hands out the wire in time slots: a virtual clock that every byte moves forward.

    Slots go to callers in the order they ask. ``rate`` is in bytes per second; 0 means no cap.
    """

    BURST = 0.004
    """Seconds of unused wire that may be caught up: below one 512 KiB packet at 1 Gbit/s."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._ended = threading.Event()

    def wait(self, size: int) -> None:
        """Take ``size`` bytes of the wire and wait until their slot begins."""
        delay = self.charge(size)
        if delay > 0:
            self._ended.wait(delay)

    def charge(self, size: int) -> float:
        """Take ``size`` bytes of the wire without waiting; returns the seconds to its slot.

        For bytes that must not queue behind the others (the main channel's): they go at once,
        and the others make room for them.
        """
        if not self.rate:
            return 0.0
        with self._lock:
            now = time.monotonic()
            slot = max(self._free_at, now - self.BURST)
            self._free_at = slot + size / self.rate
        return slot - now

    def end(self) -> None:
        """Wake every waiter; later waits return at once."""
        self._ended.set()

"""Keeps a migration's socket buffers at what its destination drains in about 20 ms."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from ramferry.transport import budget
from ramferry.transport.connection import Connection

_WINDOW: Final = 12
"""Number of looks of which the fastest counts, so that a pause between rounds does not count as a
slow destination."""
_CHANGE: Final = 1.25
"""Factor by which a size must change before it is set anew."""


class BufferGovernor:
    """Sizes the kernel's buffers of a migration's channels by its rate."""

    def __init__(
        self,
        moved: Callable[[], int],
        sending: Callable[[], Sequence[Connection]] = tuple,
        receiving: Callable[[], Sequence[Connection]] = tuple,
        told: Callable[[float], None] = lambda _rate: None,
        carries: Callable[[], bool] = lambda: True,
    ) -> None:
        """
        :param moved: returns the bytes so far that the far side drained, or that the source sent.
        :param sending: returns the multifd channels to send on; empty before there are any.
        :param receiving: returns the multifd channels to receive on; those that are UNIX sockets
            have no window to size.
        :param told: called with each new rate of pages, in bytes per second.
        :param carries: whether the first page has been carried.
        """
        self._moved = moved
        self._sending = sending
        self._receiving = receiving
        self._told = told
        self._carries = carries
        self._carried = False
        """Whether the first page had been carried at the last look."""
        self._rates: deque[float] = deque(maxlen=_WINDOW)
        self._size = budget.INITIAL
        self._last = (time.monotonic(), 0)

    def adjust(self) -> None:
        """Measure the rate since the last call, and set buffers whose size has changed.

        A time in which nothing moved says nothing of how fast the far side drains. Nor does one in
        which the first page came, or none yet, of how much may wait for it: with the rate of a
        migration's setup, a few KB a second, the outbox of 16 channels let one packet through at a
        time for 0.25 to 0.75 s. Buffers begin small: what is in them is downtime.
        """
        now, moved = time.monotonic(), self._moved()
        then, before = self._last
        self._last = (now, moved)
        carried, self._carried = self._carried, self._carries()
        if moved == before:
            return
        self._rates.append((moved - before) / max(now - then, 1e-3))
        sending = list(self._sending())
        receiving = [one for one in self._receiving() if one.windowed]
        sized = [*sending, *receiving]
        if not sized:
            return
        rate = max(self._rates)
        if carried:
            self._told(rate)
        rtt = max(map(self._rtt, sending or receiving))
        segment = max(map(self._segment, sized))
        size = budget.socket_buffer(rate, len(sending or receiving), rtt, segment)
        if self._size / _CHANGE < size < self._size * _CHANGE:
            return
        self._size = size
        for sock in sending:
            self._set(sock, send=size)
        for sock in receiving:
            self._set(sock, receive=size)

    @staticmethod
    def _rtt(connection: Connection) -> float:
        with contextlib.suppress(OSError):
            return connection.round_trip()
        return 0.0

    @staticmethod
    def _segment(connection: Connection) -> int:
        with contextlib.suppress(OSError):
            return connection.segment()
        return 0

    @staticmethod
    def _set(
        connection: Connection, *, send: int | None = None, receive: int | None = None
    ) -> None:
        # a connection that closed meanwhile needs no buffer
        with contextlib.suppress(OSError):
            connection.set_buffers(send=send, receive=receive)

"""Keeps a migration's socket buffers at what its destination drains in a moment."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from ramferry.transport import budget, sockets

_WINDOW: Final = 12
"""Looks whose fastest counts: a pause between rounds is no slow destination."""
_CHANGE: Final = 1.25
"""Smaller changes are left alone."""


class BufferGovernor:
    """Follows the rate of a migration and sizes the kernel's buffers of its channels by it."""

    def __init__(
        self,
        moved: Callable[[], int],
        sending: Callable[[], Sequence[socket.socket]] = tuple,
        receiving: Callable[[], Sequence[socket.socket]] = tuple,
        told: Callable[[float], None] = lambda _rate: None,
    ) -> None:
        """
        :param moved: bytes so far, of what the far side drained or the source sent.
        :param sending: multifd channels that are sent on; empty before there are any.
        :param receiving: those that are received on; UNIX sockets have no window to size.
        :param told: called with each new rate, in bytes per second.
        """
        self._moved = moved
        self._sending = sending
        self._receiving = receiving
        self._told = told
        self._rates: deque[float] = deque(maxlen=_WINDOW)
        self._size = budget.INITIAL
        self._last = (time.monotonic(), 0)

    def adjust(self) -> None:
        """Measure since the last call, and set what differs."""
        now, moved = time.monotonic(), self._moved()
        then, before = self._last
        self._last = (now, moved)
        self._rates.append((moved - before) / max(now - then, 1e-3))
        sending = list(self._sending())
        receiving = [one for one in self._receiving() if one.family != socket.AF_UNIX]
        sized = [*sending, *receiving]
        if not sized or not moved:
            return
        rate = max(self._rates)
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
    def _rtt(sock: socket.socket) -> float:
        with contextlib.suppress(OSError):
            return sockets.min_rtt(sock)
        return 0.0

    @staticmethod
    def _segment(sock: socket.socket) -> int:
        with contextlib.suppress(OSError):
            return sockets.segment_size(sock)
        return 0

    @staticmethod
    def _set(sock: socket.socket, *, send: int | None = None, receive: int | None = None) -> None:
        # a socket that closed meanwhile needs no buffer
        with contextlib.suppress(OSError):
            sockets.set_buffers(sock, send=send, receive=receive)

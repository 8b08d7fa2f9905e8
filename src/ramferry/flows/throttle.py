"""Keeps a migration's socket buffers at what its destination drains in a moment."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from typing import Final

from ramferry.flows.session import Session
from ramferry.transport import budget, sockets

_WINDOW: Final = 12
"""Looks whose fastest counts: a pause between rounds is no slow destination."""
_CHANGE: Final = 1.25
"""Smaller changes are left alone."""


class BufferGovernor:
    """Follows the drain rate and sizes the kernel's buffers of every channel by it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rates: deque[float] = deque(maxlen=_WINDOW)
        self._size = budget.INITIAL
        self._last = (time.monotonic(), 0)
        if session.settings.max_bandwidth:
            session.outbox.limit(budget.outbox(session.settings.max_bandwidth))

    def adjust(self) -> None:
        """Measure since the last call, and set what differs."""
        session = self._session
        now, sent = time.monotonic(), session.tally.bytes_out
        then, before = self._last
        self._last = (now, sent)
        self._rates.append((sent - before) / max(now - then, 1e-3))
        destinations = list(session.destinations)
        if not destinations or not sent:
            return
        rate = max(self._rates)
        session.outbox.limit(budget.outbox(rate))
        rtt = max(map(self._rtt, destinations))
        segment = max(map(self._segment, [*destinations, *session.sources[1:]]))
        size = budget.socket_buffer(rate, len(destinations), rtt, segment)
        if self._size / _CHANGE < size < self._size * _CHANGE:
            return
        self._size = size
        for sock in destinations:
            self._set(sock, send=size)
        for sock in session.sources[1:]:
            if sock.family != socket.AF_UNIX:
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

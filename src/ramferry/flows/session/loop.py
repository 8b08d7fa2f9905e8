"""A small event loop for rare events: connections that arrive, hang up, or take too long.

Payloads do not pass through it; channels have their own threads.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

READABLE: Final = select.EPOLLIN
HUNG_UP: Final = select.EPOLLRDHUP


class Loop:
    """epoll with callbacks; other threads can have functions called in the loop's thread."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._calls: deque[Callable[[], None]] = deque()
        self._closed = False
        self.turned: Callable[[], None] = lambda: None
        """Called in the loop's thread after each step."""
        # a signal handler may call while the same thread closes
        self._lock = threading.RLock()
        self.add(self._wake, READABLE, self._run_calls)

    def add(self, fd: int, events: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` in the loop's thread whenever one of ``events`` holds for ``fd``."""
        self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def remove(self, fd: int) -> None:
        """Stop watching ``fd``, before it is closed. A descriptor that is not watched is
        ignored."""
        if self._callbacks.pop(fd, None):
            self._epoll.unregister(fd)

    def when_reader_gone(self, fd: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` once the reader of pipe ``fd`` is gone; if ``fd`` is a file, do
        nothing."""

        def gone() -> None:
            self.remove(fd)
            callback()

        with contextlib.suppress(PermissionError):  # epoll's answer for a file
            self.add(fd, 0, gone)

    def call(self, function: Callable[[], None]) -> None:
        """Have ``function`` called in the loop's thread; safe from any thread and signal
        handler."""
        self._calls.append(function)
        with self._lock:
            if not self._closed:
                os.eventfd_write(self._wake, 1)

    def wake(self) -> None:
        """End the step that is under way; safe from any thread."""
        self.call(lambda: None)

    def step(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for events and handle them."""
        happened = [(fd, self._callbacks.get(fd)) for fd, _ in self._epoll.poll(timeout)]
        for fd, callback in happened:
            # one that was removed meanwhile may be another connection's number by now
            if callback is not None and self._callbacks.get(fd) is callback:
                callback()
        self.turned()

    def close(self) -> None:
        """Free the loop's own descriptors."""
        with self._lock:
            self._closed = True
            self._epoll.close()
            os.close(self._wake)

    def _run_calls(self) -> None:
        os.eventfd_read(self._wake)
        while self._calls:
            self._calls.popleft()()

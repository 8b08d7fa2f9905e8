"""A small event loop for what is rare: connections that arrive, hang up, or take too long.

Payloads never pass through it; they have threads of their own.
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
    """epoll with callbacks, and a way for other threads to have something done here."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._calls: deque[Callable[[], None]] = deque()
        self._closed = False
        # a signal handler may call while the same thread closes
        self._lock = threading.RLock()
        self.add(self._wake, READABLE, self._run_calls)

    def add(self, fd: int, events: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` in the loop's thread whenever one of ``events`` holds for ``fd``."""
        self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def remove(self, fd: int) -> None:
        """Forget ``fd``; to be called before it is closed. Unknown ones are ignored."""
        if self._callbacks.pop(fd, None):
            self._epoll.unregister(fd)

    def when_reader_gone(self, fd: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` once the reader of pipe ``fd`` is gone; a file has none."""

        def gone() -> None:
            self.remove(fd)
            callback()

        with contextlib.suppress(PermissionError):  # epoll's answer for a file
            self.add(fd, 0, gone)

    def call(self, function: Callable[[], None]) -> None:
        """From any thread or signal handler: run ``function`` in the loop's thread, soon."""
        self._calls.append(function)
        with self._lock:
            if not self._closed:
                os.eventfd_write(self._wake, 1)

    def wake(self) -> None:
        """From any thread: end the step that is under way."""
        self.call(lambda: None)

    def step(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for events and handle them."""
        for fd, _ in self._epoll.poll(timeout):
            callback = self._callbacks.get(fd)
            if callback is not None:
                callback()

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

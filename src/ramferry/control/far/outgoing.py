"""What the far half says: lines that a thread of its own writes, so that nobody waits for ssh."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import Final

import msgspec

from ramferry.control.hosts import far_protocol as far

MOST_WAITING: Final = 8 << 20
"""Most bytes that wait to be written. Events of a relay with 255 channels come to 0.2 MB a second,
so a near half may stand still for half a minute."""
_CLOSE_SECONDS: Final = 1.0


class Outgoing:
    """Writes messages in their order."""

    def __init__(self, fd: int) -> None:
        """:param fd: ssh's pipe; the caller's."""
        self._fd = fd
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._closing = False
        self.broken = False
        """True once nothing more can be written: nobody reads, or far too slowly."""
        self._thread = threading.Thread(target=self._write, name="to the near half", daemon=True)
        self._thread.start()

    def say(self, message: msgspec.Struct) -> None:
        """Queue a message; it is dropped if nothing can be written any more."""
        line = far.line(message)
        with self._changed:
            self.broken = self.broken or self._size + len(line) > MOST_WAITING
            if self.broken or self._closing:
                return
            self._lines.append(line)
            self._size += len(line)
            self._changed.notify()

    def close(self) -> None:
        """Take no more messages, and write those that wait, for a moment; after that the descriptor
        may be closed."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSE_SECONDS)
        self.broken = True

    def _write(self) -> None:
        while not self.broken:
            with self._changed:
                while not self._lines and not self._closing:
                    self._changed.wait()
                if not self._lines:
                    return
                line = self._lines.popleft()
            try:
                self._put(line)
            except OSError:
                self.broken = True
            with self._changed:
                self._size -= len(line)

    def _put(self, line: bytes) -> None:
        view = memoryview(line)
        while view:
            view = view[os.write(self._fd, view) :]

"""A window on compressed data: what a reader of formats peeks into, consumes and complains about.

Data in memory is one window and is never copied; data of a file is read chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Callable

from ramferry.errors import CorruptDataError

CHUNK = 256 * 1024
"""Bytes asked of a file at once."""


class Source:
    """Compressed bytes that were not consumed yet, and the place of the member being read."""

    def __init__(
        self, data: memoryview = memoryview(b""), read: Callable[[int], bytes] | None = None
    ) -> None:
        """Begin with ``data``, one-dimensional bytes; go on with ``read(size)`` until it is empty.

        Without ``read``, ``data`` is everything.
        """
        self._chunk = data
        self._at = 0
        self._read = read
        self._member_start = 0
        self.offset = 0
        """Bytes consumed so far."""
        self.member = 0
        """Index of the member being read, counted from 1; 0 before the first."""

    def begin_member(self) -> None:
        """Count the member that starts here; errors name it from here on."""
        self.member += 1
        self._member_start = self.offset

    def peek(self, size: int) -> memoryview:
        """Return all bytes at hand, at least ``size`` unless the data ends before."""
        window = self._chunk[self._at :]
        while len(window) < size and self._read is not None:
            chunk = self._read(max(CHUNK, size - len(window)))
            if not chunk:
                self._read = None
            else:
                window = memoryview(b"".join((window, chunk)) if window else chunk)
                self._chunk, self._at = window, 0
        return window

    def need(self, size: int, what: str) -> memoryview:
        """Return all bytes at hand, at least ``size``.

        :raise CorruptDataError: the data ends before; ``what`` names what is missing.
        """
        window = self.peek(size)
        if len(window) < size:
            raise self.truncated(what)
        return window

    def skip(self, size: int) -> None:
        """Consume ``size`` bytes of those at hand."""
        self._at += size
        self.offset += size

    def skip_zeros(self) -> bool:
        """Consume bytes as long as they are zero. Return True if that was all that was left."""
        while window := self.peek(1):
            rest = bytes(window).lstrip(b"\0")
            self.skip(len(window) - len(rest))
            if rest:
                return False
        return True

    def give_back(self, data: bytes) -> None:
        """Undo the consumption of ``data``, the bytes consumed last."""
        if len(data) > self._at:
            self._chunk, self._at = memoryview(data + self._chunk[self._at :]), len(data)
        self._at -= len(data)
        self.offset -= len(data)

    def truncated(self, what: str) -> CorruptDataError:
        """Say that the data ends before ``what`` was complete."""
        end = self.offset + len(self._chunk) - self._at
        return self.corrupt(what, f"the end of the data after {end} bytes")

    def corrupt(self, expected: str, received: str) -> CorruptDataError:
        """Say what is wrong, and in which member."""
        place = f"in member {self.member}, which begins at byte {self._member_start}"
        return CorruptDataError(f"{expected} {place}", received)

"""Bytes of one stream as they come: taken by count, skipped by count, or looked ahead at.

The parsers of this layer are generators that yield when they need more bytes, so that they read
like the format they parse. Only what ``take`` was asked for, and what ``keep`` sets aside, is
stored; their callers bound both.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NoReturn, TypeVar

from ramferry.errors import RemoteProtocolError

T = TypeVar("T")
Parse = Generator[None, None, T]
"""Yields when it needs more bytes; returns what it parsed."""


class ByteSource:
    """The unread bytes of a stream, and where they stand in it."""

    __slots__ = ("_end", "_kept", "channel", "pos", "view")

    def __init__(self, channel: str) -> None:
        self.channel = channel
        """Named in errors."""
        self.view = memoryview(b"")
        """The bytes at hand; those from ``pos`` on are unread."""
        self.pos = 0
        self._end = 0
        self._kept = b""

    @property
    def offset(self) -> int:
        """Absolute offset in the stream of the next unread byte."""
        return self._end - self.available

    @property
    def end(self) -> int:
        """Absolute offset behind the last byte that was pushed."""
        return self._end

    @property
    def available(self) -> int:
        """Unread bytes at hand."""
        return len(self.view) - self.pos

    def push(self, data: memoryview) -> None:
        """Hand in the stream's next bytes; the ones before must have been read or kept."""
        self._end += len(data)
        if self._kept:
            data = memoryview(self._kept + bytes(data))
            self._kept = b""
        self.view = data
        self.pos = 0

    def release(self) -> None:
        """Let go of the buffer that was pushed, so that its owner may use it again."""
        self.view = memoryview(b"")
        self.pos = 0

    def keep(self) -> None:
        """Set the unread bytes aside: the next push puts them in front of its own."""
        self._kept = bytes(self.view[self.pos :])
        self.pos = len(self.view)

    def take(self, count: int) -> Parse[bytes]:
        """Read exactly ``count`` bytes; the caller has bounded it."""
        at = self.pos
        if len(self.view) - at >= count:
            self.pos = at + count
            return bytes(self.view[at : at + count])
        taken = bytearray(self.view[at:])
        self.pos = len(self.view)
        while (short := count - len(taken)) > 0:
            yield
            taken += self.view[:short]
            self.pos = min(short, len(self.view))
        return bytes(taken)

    def skip(self, count: int) -> Parse[None]:
        """Pass over ``count`` bytes, of which none is looked at."""
        while count > self.available:
            count -= self.available
            self.pos = len(self.view)
            yield
        self.pos += count

    def uint(self, size: int) -> Parse[int]:
        """Read a big-endian number of ``size`` bytes."""
        return int.from_bytes((yield from self.take(size)), "big")

    def text(self, what: str, *, longest: int = 255) -> Parse[str]:
        """Read a name behind a length byte.

        :raise RemoteProtocolError: it is empty or longer than ``longest`` bytes.
        """
        length = yield from self.uint(1)
        if not 1 <= length <= longest:
            self.fail(f"a {what} of 1 to {longest} bytes", f"{length} bytes")
        return (yield from self.take(length)).decode("utf-8", "backslashreplace")

    def fail(self, expected: str, received: str) -> NoReturn:
        """Raise a RemoteProtocolError that names the channel and the byte reached."""
        raise RemoteProtocolError(
            expected, f"{received} (up to byte {self.offset})", channel=self.channel
        )

"""Main between two Ramferrys: a connection whose bytes travel in checked frames."""

from __future__ import annotations

import errno
from typing import Final

from ramferry.errors import PeerTimeout, UsageError, kernel_error
from ramferry.transport.connection import Connection, receive_by_some
from ramferry.transport.plain import after
from ramferry.vocabulary import Buffer
from ramferry.wire.relay_frames import HEAD_SIZE, MARK, MOST, FrameKind, FrameReader, FrameWriter

_PIECE: Final = 16 * 1024
"""Bytes of a frame where the peer may not take all of it at once."""
_MOST_MARKS: Final = 64
"""Marks that are kept until they are asked for: main's reader is at most a piece ahead. Nobody asks
where main cannot be parsed, so the oldest goes."""


class Framed:
    """A ``Connection`` over another one, which it owns; what it adds is in ``wire.relay_frames``.

    Beside the bytes it carries marks. Nothing that comes is handed out before its frame was
    checked.
    """

    def __init__(self, inner: Connection) -> None:
        self._inner = inner
        self.windowed = inner.windowed
        self._writer = FrameWriter()
        self._reader = FrameReader()
        self._buffer = memoryview(bytearray(HEAD_SIZE + MOST))
        self._filled = 0
        """Bytes of the frame that is coming, or of the head of it."""
        self._wanted = HEAD_SIZE
        self._ready = memoryview(b"")
        """What was checked and not handed out yet."""
        self._ended = False
        self._pending = memoryview(b"")
        """What is left to be sent of a frame that has begun (``send_some``)."""
        self._held = b""
        """The data of that frame."""
        self._marks: dict[int, bytes] = {}
        self.channels = 0
        """The migration's number of multifd channels, as the last mark told it; 0: not known."""

    # --- marks

    def send_mark(self, index: int, digest: bytes, channels: int) -> None:
        """Announce a sync mark, right before its bytes."""
        data = MARK.pack(index, digest, channels)
        self._inner.send([self._writer.head(FrameKind.MARK, data), data])

    def mark(self, index: int) -> bytes | None:
        """The digest with which a mark was announced; None if it was not."""
        return self._marks.pop(index, None)

    # --- bytes in

    def receive(self, view: memoryview, least: int | None = None, *, idle: bool = False) -> int:
        """See ``Connection``."""
        return receive_by_some(self, view, least, idle=idle)

    def receive_some(self, view: memoryview, *, whole: bool = False) -> int | None:
        """See ``Connection``.

        :raise RemoteProtocolError: a frame was damaged on its way.
        """
        filled = 0
        while filled < len(view) and (whole or not filled):
            try:
                more = bool(self._ready) or self._next_frame()
            except OSError:
                if not filled:
                    raise
                return filled  # it raises again
            if not more:
                return filled or (0 if self._ended else None)
            count = min(len(view) - filled, len(self._ready))
            view[filled : filled + count] = self._ready[:count]
            self._ready = self._ready[count:]
            filled += count
        return filled

    def _next_frame(self) -> bool:
        """Receive up to the next data; False if nothing came in time, or no more comes."""
        while not self._ended:
            while self._filled < self._wanted:
                count = self._inner.receive_some(self._buffer[self._filled : self._wanted])
                if count is None:
                    return False
                if not count:
                    raise kernel_error(errno.ECONNRESET)
                self._filled += count
            if self._wanted == HEAD_SIZE:
                self._reader.open(self._buffer[:HEAD_SIZE])
                self._wanted += self._reader.size
                if self._reader.size:
                    continue
            data = self._buffer[HEAD_SIZE : self._wanted]
            self._reader.check(data)
            self._filled, self._wanted = 0, HEAD_SIZE
            if self._reader.kind is FrameKind.DATA:
                self._ready = data
                return True
            self._take(data)
        return False

    def _take(self, data: memoryview) -> None:
        if self._reader.kind is FrameKind.END:
            self._ended = True
            return
        index, digest, self.channels = MARK.unpack(data)
        if len(self._marks) >= _MOST_MARKS:
            del self._marks[next(iter(self._marks))]
        self._marks[index] = digest

    def unread(self) -> int:
        """See ``Connection``; heads of frames count as well."""
        return len(self._ready) + self._inner.unread()

    def heard_at(self) -> float:
        """See ``Connection``."""
        return self._inner.heard_at()

    def acknowledge(self) -> None:
        """See ``Connection``."""
        self._inner.acknowledge()

    # --- bytes out

    def send(self, parts: list[Buffer]) -> int:
        """See ``Connection``; begins with the frame that ``send_some`` has begun."""
        total = sum(map(len, parts))
        if self._pending:
            parts = after(parts, self._checked(b"".join(parts)))
            self._inner.send([self._pending])
            self._pending = memoryview(b"")
        for part in parts:
            view = memoryview(part)
            for start in range(0, len(view), MOST):
                piece = view[start : start + MOST]
                self._inner.send([self._writer.head(FrameKind.DATA, piece), piece])
        return total

    def send_some(self, data: Buffer) -> int:
        """See ``Connection``; a frame that was begun and did not go out whole does not count, and
        has to be continued with the same bytes."""
        view, sent = memoryview(data), 0
        while sent < len(view) and self._send_piece(view[sent:]):
            sent += len(self._held)
        return sent

    def _send_piece(self, data: memoryview) -> bool:
        """Send a frame, or the rest of one that was begun; False if it does not go out whole."""
        if self._pending:
            self._checked(data)
        else:
            self._held = bytes(data[:_PIECE])
            head = self._writer.head(FrameKind.DATA, self._held)
            self._pending = memoryview(head + self._held)
        while self._pending and (count := self._inner.send_some(self._pending)):
            self._pending = self._pending[count:]
        return not self._pending

    def _checked(self, data: Buffer) -> int:
        """The size of the frame that was begun, whose data come again.

        :raise UsageError: they do not.
        """
        if memoryview(data)[: len(self._held)] != self._held:
            raise UsageError("a frame that was begun has to be continued with the same bytes")
        return len(self._held)

    def unsent(self) -> int:
        """See ``Connection``; a frame counts as read once all of it is at the peer."""
        return self._inner.unsent()

    # --- size and time

    def fileno(self) -> int:
        """See ``Connection``."""
        return self._inner.fileno()

    def settle(self, stall_timeout: float, *, piece: float | None = None) -> None:
        """See ``Connection``."""
        self._inner.settle(stall_timeout, piece=piece)

    def set_buffers(self, *, send: int | None = None, receive: int | None = None) -> None:
        """See ``Connection``."""
        self._inner.set_buffers(send=send, receive=receive)

    def round_trip(self) -> float:
        """See ``Connection``."""
        return self._inner.round_trip()

    def segment(self) -> int:
        """See ``Connection``."""
        return self._inner.segment()

    # --- its end

    def hung_up(self) -> bool:
        """See ``Connection``."""
        return self._inner.hung_up()

    def finish(self) -> None:
        """See ``Connection``; says so in a frame of its own, unless the connection broke, or a
        frame has begun: that one never comes whole, and the end is a cut."""
        if self._pending:
            self._inner.finish()
            return
        try:
            self._inner.send([self._writer.head(FrameKind.END, b"")])
        except (OSError, PeerTimeout):
            return
        self._inner.finish()

    def cut(self) -> None:
        """See ``Connection``."""
        self._inner.cut()

    def reset(self) -> None:
        """See ``Connection``."""
        self._inner.reset()

    def close(self) -> None:
        """See ``Connection``."""
        self._inner.close()

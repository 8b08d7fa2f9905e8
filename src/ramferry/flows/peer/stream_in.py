"""A tunnel's way in: receives pieces on every connection, checks them, and puts them in order.

Each connection has a thread. It may be two pieces ahead of who takes them; a stream's next piece is
always the first that its connection has not given away, so nobody waits for a thread that waits
itself.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from ramferry.errors import RemoteProtocolError, kernel_error
from ramferry.flows.peer.stream_decoding import AHEAD, Arrived, PieceReceiver
from ramferry.vocabulary import Buffer


class StreamIn:
    """Gives a stream to one thread; ``run`` is the body of each connection's thread."""

    def __init__(self, receivers: Sequence[PieceReceiver]) -> None:
        self._receivers = receivers
        self._lock = threading.Lock()
        self._ready: dict[int, tuple[Arrived, _Line]] = {}
        """Pieces that wait for those before them, or to be taken."""
        self._next = 0
        """The number of the piece that is taken next."""
        self._total: int | None = None
        """How many there are, once an end has come."""
        self._ends = 0
        """Connections on which the end has come."""
        self._lines = [_Line() for _ in receivers]
        self._turn = threading.Semaphore(0)
        """Released when the thread that takes, and waits, may look again."""
        self._waits = False
        self._error: Exception | None = None
        self._parts: list[Buffer] = []
        """What is left of the piece that was taken."""
        self._holder: _Line | None = None
        """Whose memory that is."""
        self.piece_timeout: float = 60.0
        """Seconds that are waited for a piece."""

    # --- the thread that takes

    def receive_piece(self) -> list[Buffer] | None:
        """The next part of the stream, in pieces that are valid until the next call; empty at its
        end, None if nothing came in time.

        :raise OSError: the tunnel broke.
        :raise RemoteProtocolError: a piece was damaged.
        """
        if not self._parts and not self._await(self.piece_timeout):
            return None
        parts, self._parts = self._parts, []
        return parts

    def receive_some(self, view: memoryview, *, whole: bool) -> int | None:
        """See ``Connection``."""
        filled = 0
        while filled < len(view) and (whole or not filled):
            if not self._parts:
                try:
                    came = self._await(self.piece_timeout)
                except (OSError, RemoteProtocolError):
                    if filled:
                        return filled  # it raises again
                    raise
                if not came:
                    return filled or None
                if not self._parts:
                    return filled
            filled += self._move(view[filled:])
        return filled

    def _move(self, view: memoryview) -> int:
        """Copy from the piece that was taken into ``view``."""
        filled = used = 0
        for part in self._parts:
            count = min(len(part), len(view) - filled)
            view[filled : filled + count] = part[:count]
            filled += count
            if count < len(part):
                self._parts[used] = memoryview(part)[count:]
                break
            used += 1
        del self._parts[:used]
        return filled

    def _await(self, timeout: float) -> bool:
        """Take the next piece; without one it is the stream's end. False if nothing came in
        time."""
        if self._holder is not None:
            self._holder.free.release()
            self._holder = None
        while True:
            with self._lock:
                arrived = self._ready.pop(self._next, None)
                if arrived is not None:
                    self._next += 1
                    piece, self._holder = arrived
                    self._parts = piece.parts
                    return True
                if self._next == self._total:
                    return True
                if self._error is not None:
                    raise self._error
                self._waits = True
            if not self._turn.acquire(timeout=timeout):
                with self._lock:
                    if self._waits:
                        self._waits = False
                        return False

    @property
    def unread(self) -> int:
        """Bytes that are here and were not taken."""
        with self._lock:
            waiting = sum(one.size for one, _ in self._ready.values())
        return waiting + sum(map(len, self._parts))

    @property
    def over(self) -> bool:
        """True once no more comes than is here."""
        return self._total is not None or self._error is not None

    def fail(self, error: Exception) -> None:
        """The tunnel broke: what is here in order may still be taken."""
        with self._lock:
            self._error = self._error or error
            self._call()
        for line in self._lines:
            line.free.release()

    # --- the connections' threads

    def run(self, index: int) -> None:
        """Receive the pieces of one connection until the stream's end, or until it breaks.

        :raise OSError: the connection broke, or ended before the stream.
        :raise RemoteProtocolError: what comes is not what was sent.
        """
        receiver, line = self._receivers[index], self._lines[index]
        last = -1
        while (head := receiver.head()) is not None:
            if head.number <= last:
                raise RemoteProtocolError(f"a piece after {last}", f"piece {head.number} again")
            last = head.number
            line.free.acquire()
            if self._error is not None:
                return
            self._put(receiver.piece(head), line)
        if receiver.total is None:
            raise kernel_error(errno.ECONNRESET)
        self._end(receiver.total, last)

    def _put(self, piece: Arrived, line: _Line) -> None:
        number = piece.number
        with self._lock:
            if number < self._next or number in self._ready:
                raise RemoteProtocolError("every piece once", f"piece {number} again")
            self._ready[number] = piece, line
            if number == self._next:
                self._call()

    def _end(self, total: int, last: int) -> None:
        with self._lock:
            if last >= total or self._total not in (None, total):
                raise RemoteProtocolError(f"the end of {total} pieces", f"piece {last}")
            self._total = total
            self._ends += 1
            missing = total - self._next - len(self._ready)
            if self._ends == len(self._lines) and missing:
                raise RemoteProtocolError(f"{total} pieces", f"an end with {missing} missing")
            if self._next == total:
                self._call()

    def _call(self) -> None:
        """Wake the thread that takes; called with the lock."""
        if self._waits:
            self._waits = False
            self._turn.release()


@dataclass(eq=False, slots=True)
class _Line:
    """What a connection's thread waits for: memory for a piece."""

    free: threading.Semaphore

    def __init__(self) -> None:
        self.free = threading.Semaphore(AHEAD)

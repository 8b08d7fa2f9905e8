"""Connections in memory: two ends that keep ``transport.connection``'s contract without a network.

They are as unkind as the contract allows: a receive or a send moves what it can at once and no
more, and a reset loses everything that the peer has not taken.

Only the readiness to poll is the kernel's: each end owns one of a pair of sockets, in which a
single byte lies while there are bytes to receive. So an end polls as a socket does, its hanging up
included, and an end that nobody closed is a ``ResourceWarning``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from typing import Final

from ramferry.errors import PeerTimeout
from ramferry.vocabulary import Buffer

HELD: Final = 64 << 10
"""Bytes that are held at either end until ``set_buffers`` says otherwise."""


def joined(
    *,
    windowed: bool = False,
    held: int = HELD,
    round_trip: float = 1e-4,
    segment: int = 1448,
) -> tuple[InMemory, InMemory]:
    """The two ends of a new connection, not settled yet: nothing waits.

    :param windowed: True: as over a network. What fits the receiver's buffer is taken; only what
        is held at the sender is ``unsent``.
    :param held: bytes that each end holds on the way out and, where ``windowed``, on the way in.
    :param round_trip: seconds that both ends tell where ``windowed``.
    :param segment: bytes that both ends tell where ``windowed``.
    """
    changed = threading.Condition()
    one, other = socket.socketpair()
    there, back = _Way(windowed, held, one, other), _Way(windowed, held, other, one)
    figures = (round_trip, segment) if windowed else (0.0, 0)
    return InMemory(changed, there, back, *figures), InMemory(changed, back, there, *figures)


class _Way:
    """The bytes from one end to the other. The lock of the connection guards it."""

    def __init__(
        self, windowed: bool, held: int, sender: socket.socket, receiver: socket.socket
    ) -> None:
        self.windowed = windowed
        self.at_sender = self.at_receiver = held
        self.sender, self.receiver = sender, receiver
        self.data = bytearray()
        self.heard_at = time.monotonic()
        self.ended = False
        """True once no more bytes may be sent."""
        self.deaf = False
        """True once the receiver has cut it, which the sender learns from the next byte there."""
        self.failure = 0
        """The ``errno`` that ends it for the receiver, told once; 0: an orderly end."""
        self._readable = False

    @property
    def arrived(self) -> int:
        """Bytes that the receiver could have."""
        return min(len(self.data), self.at_receiver) if self.windowed else len(self.data)

    @property
    def untaken(self) -> int:
        """Bytes that the receiver's side has not taken."""
        return len(self.data) - self.arrived if self.windowed else len(self.data)

    @property
    def over(self) -> bool:
        """True where the receiver gets no more than what is there."""
        return self.ended or self.deaf

    @property
    def refused(self) -> bool:
        """True where the sender may send no more, and knows it: not while the window is full."""
        unaware = self.windowed and len(self.data) >= self.at_receiver
        return self.ended or (self.deaf and not unaware)

    def put(self, data: memoryview) -> int:
        """Append what there is room for."""
        most = self.at_sender + (self.at_receiver if self.windowed else 0)
        count = max(0, min(len(data), most - len(self.data)))
        self.data += data[:count]
        self._moved()
        return count

    def take(self, view: memoryview) -> int:
        """Move what has arrived into ``view``."""
        count = min(len(view), self.arrived)
        view[:count] = self.data[:count]
        del self.data[:count]
        self._moved()
        return count

    def lose(self, kept: int = 0) -> None:
        """Forget all but the first ``kept`` bytes."""
        del self.data[kept:]
        self._moved()

    def _moved(self) -> None:
        self.heard_at = time.monotonic()
        if self._readable == bool(self.data) or self.receiver.fileno() < 0:
            return
        self._readable = not self._readable
        if self._readable:
            self.sender.send(b"!")
        else:
            self.receiver.recv(1)


class InMemory:
    """One end, a :class:`~ramferry.transport.connection.Connection`; ``joined`` makes both."""

    def __init__(
        self,
        changed: threading.Condition,
        outward: _Way,
        inward: _Way,
        round_trip: float,
        segment: int,
    ) -> None:
        self.windowed = outward.windowed
        self._changed = changed
        self._out, self._in = outward, inward
        self._sock = outward.sender
        self._round_trip, self._segment = round_trip, segment
        self._send_limit = self._receive_limit = 0.0
        self._was_reset = False

    def fileno(self) -> int:
        """See ``Connection``."""
        return self._sock.fileno()

    def settle(self, stall_timeout: float, *, piece: float | None = None) -> None:
        """See ``Connection``."""
        self._send_limit = stall_timeout
        self._receive_limit = stall_timeout if piece is None else piece

    # --- bytes in

    def receive(self, view: memoryview, least: int | None = None, *, idle: bool = False) -> int:
        """See ``Connection``."""
        least = len(view) if least is None else least
        filled = 0
        while filled < least:
            count = self.receive_some(view[filled:])
            if count == 0:
                break
            if count is None and not (idle and not filled):
                raise PeerTimeout(f"the peer went silent after {filled} of {least} bytes")
            filled += count or 0
        return filled

    def receive_some(self, view: memoryview, *, whole: bool = False) -> int | None:
        """See ``Connection``."""
        way, filled = self._in, 0
        give_up_at = time.monotonic() + self._receive_limit
        with self._changed:
            while True:
                self._changed.wait_for(
                    lambda: way.data or way.over, max(0.0, give_up_at - time.monotonic())
                )
                count = way.take(view[filled:])
                filled += count
                self._changed.notify_all()
                if not count or not whole or filled == len(view):
                    break
            if filled:
                return filled
            return self._end_of(way) if way.over else None

    def unread(self) -> int:
        """See ``Connection``."""
        with self._changed:
            return self._in.arrived

    def heard_at(self) -> float:
        """See ``Connection``."""
        return self._in.heard_at if self.windowed else time.monotonic()

    def acknowledge(self) -> None:
        """See ``Connection``; nothing waits here for an acknowledgement."""

    # --- bytes out

    def send(self, parts: list[Buffer]) -> int:
        """See ``Connection``."""
        for part in parts:
            left = memoryview(part)
            while len(left):
                sent = self.send_some(left)
                if not sent:
                    raise PeerTimeout("the peer takes no more bytes")
                left = left[sent:]
        return sum(map(len, parts))

    def send_some(self, data: Buffer) -> int:
        """See ``Connection``."""
        way = self._out
        give_up_at = time.monotonic() + self._send_limit
        with self._changed:
            while True:
                if way.refused:
                    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
                sent = way.put(memoryview(data))
                left = give_up_at - time.monotonic()
                if sent or left <= 0:
                    break
                self._changed.wait(left)
            self._changed.notify_all()
        return sent

    def unsent(self) -> int:
        """See ``Connection``."""
        with self._changed:
            return self._out.untaken

    # --- size and time

    def set_buffers(self, *, send: int | None = None, receive: int | None = None) -> None:
        """See ``Connection``; ``receive`` is nothing to an end that is not ``windowed``."""
        with self._changed:
            if send is not None:
                self._out.at_sender = send
            if receive is not None:
                self._in.at_receiver = receive
            self._changed.notify_all()

    def round_trip(self) -> float:
        """See ``Connection``."""
        return self._round_trip

    def segment(self) -> int:
        """See ``Connection``."""
        return self._segment

    # --- its end

    def hung_up(self) -> bool:
        """See ``Connection``."""
        return self._in.over

    def finish(self) -> None:
        """See ``Connection``."""
        with self._changed:
            self._end(socket.SHUT_WR)

    def cut(self) -> None:
        """See ``Connection``."""
        with self._changed:
            self._in.deaf = True
            self._end(socket.SHUT_RDWR)

    def reset(self) -> None:
        """See ``Connection``; told to both ends as an error where ``windowed``, as TCP does."""
        with self._changed:
            self._in.lose()
            self._out.lose(kept=len(self._out.data) - self._out.untaken)
            if self.windowed and not self._was_reset:
                self._out.failure = self._in.failure = errno.ECONNRESET
            self._was_reset = self._in.ended = True
            self._end(socket.SHUT_RDWR)

    def close(self) -> None:
        """See ``Connection``; as the kernel's, one that leaves bytes unread tells its peer so."""
        with self._changed:
            if self._sock.fileno() < 0:
                return
            if self._in.data:
                self._in.lose()
                self._out.failure = errno.ECONNRESET
                if self.windowed:
                    self._out.lose(kept=self._out.arrived)
            self._in.ended = True
            self._end(socket.SHUT_RDWR)
            self._sock.close()

    def _end(self, how: int) -> None:
        self._out.ended = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(how)
        self._changed.notify_all()

    def _end_of(self, way: _Way) -> int:
        failure, way.failure = way.failure, 0
        if failure:
            raise OSError(failure, os.strerror(failure))
        return 0

"""Connections by TLS over the kernel's sockets, by Python's ``ssl``, which is OpenSSL.

An OpenSSL connection may be used by one thread at a time, and main is used by two: one receives,
one sends. So the socket never blocks; each call of OpenSSL is made under a lock, and does what can
be done at once; and whoever has to wait does so in poll(2), outside the lock.

The peer's orderly end is TLS's ``close_notify``. An end of the stream without it is a cut, which
anybody on the way could have made, and is told as a broken connection.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
import threading
from typing import Final

from ramferry.errors import PeerTimeout, kernel_error
from ramferry.patience import Patience
from ramferry.transport import sockets
from ramferry.transport.connection import receive_by_some
from ramferry.transport.plain import Plain, after, keep_prompt
from ramferry.transport.tls_engine import RECORD, ClosedEngine, engine
from ramferry.transport.tls_reasons import CUT, why
from ramferry.transport.tls_records import records
from ramferry.transport.wire_socket import WireSocket
from ramferry.vocabulary import Buffer

LOOK: Final = 0.25
"""Seconds that one poll lasts at most, so that time in which this process was stopped counts for
little."""


_WORTH: Final = 128 << 10
"""Most bytes that are waited for at once; the kernel takes half of the receive buffer if that is
less. Without it a thread that receives a packet of 512 KiB as it comes wakes up for each record."""
_WRAPPING: Final = 256
"""Most bytes by which a record is longer than what is in it (RFC 8446 section 5.2)."""


class Tls(Plain):
    """A connection whose bytes are encrypted; the handshake is done.

    Its buffers, figures and ends are the socket's. Bytes that OpenSSL holds do not make the
    descriptor readable, so whoever polls receives until None.
    """

    __slots__ = (
        "_broken",
        "_ended",
        "_engine",
        "_finished",
        "_held",
        "_least",
        "_lock",
        "_receive_limit",
        "_send_limit",
        "_tls",
    )

    def __init__(self, sock: WireSocket) -> None:
        """:param sock: its handshake is done; from now on this object owns it and closes it."""
        super().__init__(sock)
        sock.setblocking(False)
        self._tls = sock
        self._engine = engine(sock)
        self._lock = threading.Lock()
        self._least = 1
        """Bytes that make the socket readable."""
        self._send_limit = self._receive_limit = 0.0
        self._ended = False
        """True once the peer's close_notify, or a failure, was told."""
        self._broken: OSError | None = None
        """A failure that is to be told by the next receive."""
        self._finished = False
        self._held: Buffer = b""
        """A record that OpenSSL has begun to send, and that it has to be given again."""

    def peer_certificate(self) -> bytes:
        """What the peer showed in the handshake, as DER; empty if nothing."""
        return self._tls.getpeercert(binary_form=True) or b""

    def settle(self, stall_timeout: float, *, piece: float | None = None) -> None:
        """See ``Connection``."""
        self._receive_limit = stall_timeout if piece is None else piece
        self._send_limit = stall_timeout
        if self.windowed:
            keep_prompt(self._sock)

    # --- bytes in

    def receive(self, view: memoryview, least: int | None = None, *, idle: bool = False) -> int:
        """See ``Connection``."""
        return receive_by_some(self, view, least, idle=idle)

    def receive_some(self, view: memoryview, *, whole: bool = False) -> int | None:
        """See ``Connection``."""
        filled = self._arrived(view)
        if filled is None and self._receive_limit:
            patience = Patience(self._receive_limit)
            while filled is None and self._until(self._engine.read_waits, patience):
                filled = self._arrived(view)
        if not whole or not filled:
            return filled
        return filled + self._rest(view[filled:])

    def _rest(self, view: memoryview) -> int:
        """Receive a full view within the limit, as far as it comes."""
        filled, patience = 0, Patience(self._receive_limit)
        while filled < len(view):
            try:
                count = self._arrived(view[filled:])
            except OSError as error:
                self._broken = error
                break
            if count is None:
                self._wake_at(len(view) - filled)
                if self._until(self._engine.read_waits, patience):
                    continue
            if not count:
                break
            filled += count
        self._wake_at(0)
        return filled

    def _wake_at(self, left: int) -> None:
        """Have the socket become readable once there is something worth waking up for.

        OpenSSL may hold a part of a record, so as much less is waited for.

        :param left: bytes that are to be received before anything can be done with them.
        """
        least = max(1, min(left - RECORD - _WRAPPING, _WORTH))
        if least != self._least:
            self._least = least
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)

    def _arrived(self, view: memoryview) -> int | None:
        """Take what has come; 0 at the end, None if nothing has."""
        if self._broken is not None:
            error, self._broken = self._broken, None
            raise error
        if self._ended:
            return 0
        if not view:
            return 0
        try:
            with self._lock:
                count = self._engine.read(view)
        except OSError as error:
            self._ended = True
            raise broken(error) from error
        self._ended = count == 0
        return count

    def unread(self) -> int:
        """See ``Connection``; what is still encrypted counts with what encrypts it."""
        with self._lock:
            return super().unread() + self._engine.pending()

    # --- bytes out

    def send(self, parts: list[Buffer]) -> int:
        """See ``Connection``; small parts are joined, so that records are full."""
        total = sum(map(len, parts))
        if self._held:
            parts = self._resumed(parts)
        for piece in records(parts):
            self._push(piece)
        return total

    def send_some(self, data: Buffer) -> int:
        """See ``Connection``; a record that was begun and did not go out whole does not count, and
        has to be continued with the same bytes."""
        view, sent = memoryview(data), 0
        while sent < len(view):
            piece = bytes(view[sent : sent + (len(self._held) or RECORD)])
            self._check_held(piece)
            if self._write(piece):
                self._held = b""
                sent += len(piece)
                continue
            self._held = piece
            if sent or not self._room():
                break
        return sent

    def _resumed(self, parts: list[Buffer]) -> list[Buffer]:
        """Send the record that was begun; returns the parts without its bytes."""
        count = len(self._held)
        piece = b"".join(parts)[:count]
        self._check_held(piece)
        self._push(piece)
        self._held = b""
        return after(parts, count)

    def _check_held(self, piece: bytes) -> None:
        if self._held and piece != self._held:
            raise ValueError("a record was begun with other bytes")

    def _push(self, piece: Buffer) -> None:
        """Send all of a piece.

        :raise PeerTimeout: the peer takes nothing for the stall limit. No more can be sent then.
        """
        while not self._write(piece):
            if not self._room():
                self._finished = True
                raise PeerTimeout("the peer takes no more bytes")

    def _room(self) -> bool:
        """Wait until the peer has taken something; False if it does not for the stall limit.

        A socket becomes writable only once a third of its buffer is free, which a slow peer may not
        do within the limit.
        """
        patience, queued = Patience(self._send_limit), self.unsent()
        while not patience.over:
            step = Patience(min(self._send_limit, LOOK))
            if self._until(self._engine.write_waits, step) or self.unsent() < queued:
                return True
        return False

    def _write(self, piece: Buffer) -> bool:
        """Send a piece as far as it goes at once; True if that is all of it. Else OpenSSL has to be
        given the same piece again."""
        if self._finished:
            raise kernel_error(errno.EPIPE)
        try:
            with self._lock:
                return self._engine.write(piece)
        except OSError as error:
            raise kernel_error(errno.EPIPE) from error

    # --- its end

    def finish(self) -> None:
        """See ``Connection``; a close_notify and a FIN."""
        if not self._finished and not self._held:
            self._finished = True
            with contextlib.suppress(OSError):
                self._say_end()
        super().finish()

    def _say_end(self) -> None:
        patience = Patience(self._send_limit)
        while True:
            with self._lock:
                if self._engine.end():
                    return
            if not self._until(select.POLLOUT, patience):
                return

    def turn_away(self) -> None:
        """End and close it so that the peer, which may be sending, sees an orderly end."""
        self.finish()
        sockets.let_read(self._sock)
        self.close()

    def close(self) -> None:
        """See ``Connection``. A thread that waits here meanwhile, as one does for a source that is
        held, finds that it is closed: OpenSSL's own would be gone under it."""
        with self._lock:
            engine, self._engine = self._engine, ClosedEngine(self._tls)
            engine.close()
        super().close()

    def _until(self, event: int, patience: Patience) -> bool:
        """Wait for an event of the socket; False if patience is over."""
        poll = select.poll()
        poll.register(self._descriptor(), event)
        while not patience.over:
            if poll.poll(min(patience.left, LOOK) * 1e3):
                return True
        return bool(poll.poll(0))


def broken(error: OSError) -> OSError:
    """What a failed read is told as."""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLSyscallError):
        return ConnectionResetError(errno.ECONNRESET, CUT)
    if isinstance(error, ssl.SSLError):
        return OSError(errno.EPROTO, why(error))
    return error

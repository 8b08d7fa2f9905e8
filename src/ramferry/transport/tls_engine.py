"""Calls of OpenSSL on one connection, none of which waits; ``transport.tls`` makes them in turn.

Two engines do the same. One has the calls that Python's ``ssl`` has. The other makes a few calls of
OpenSSL itself, which are worth it: one call without the GIL receives all records that have come,
where Python's receives one of 16 KiB.
"""

from __future__ import annotations

import select
import ssl
from typing import Final

from ramferry.errors import HostError
from ramferry.native import openssl
from ramferry.transport.plain import closed
from ramferry.transport.wire_socket import WireSocket
from ramferry.vocabulary import Buffer

RECORD: Final = 16384
"""Most bytes of a TLS record (RFC 8446 section 5.1)."""
_MOST: Final = 1 << 30


class Engine:
    """By Python's ``ssl`` alone."""

    def __init__(self, sock: WireSocket) -> None:
        """:param sock: its handshake is done, and it does not block."""
        self._sock = sock
        self.read_waits = select.POLLIN
        """What the last read that brought nothing has to wait for."""
        self.write_waits = select.POLLOUT
        """What the last write that was not done has to wait for."""
        self._early = bytearray()
        """What came before this side's end was said."""

    def read(self, view: memoryview) -> int | None:
        """Receive what has come, at most a full ``view``; 0 at the peer's close_notify, None if
        nothing has come.

        :raise OSError: the connection broke, or something else than TLS came.
        """
        if self._early:
            count = min(len(view), len(self._early))
            view[:count] = self._early[:count]
            del self._early[:count]
            return count
        return self._receive(view)

    def _receive(self, view: memoryview) -> int | None:
        try:
            return self._sock.read(len(view), view)  # type: ignore[return-value]
        except ssl.SSLWantReadError:
            self.read_waits = select.POLLIN
        except ssl.SSLWantWriteError:  # an answer to a change of keys does not go out yet
            self.read_waits = select.POLLOUT
        except ssl.SSLZeroReturnError:
            return 0
        return None

    def write(self, piece: Buffer) -> bool:
        """Send a piece as far as it goes at once; True if that is all of it. Else the same piece
        has to be given again, until it is.

        :raise OSError: the connection broke.
        """
        try:
            self._sock.write(piece)
        except ssl.SSLWantWriteError:
            self.write_waits = select.POLLOUT
            return False
        except ssl.SSLWantReadError:
            self.write_waits = select.POLLIN
            return False
        return True

    def pending(self) -> int:
        """Bytes that are decrypted and were not received."""
        return self._sock.pending() + len(self._early)

    def end(self) -> bool:
        """Send close_notify; False if it does not go out at once.

        Python's call looks for the peer's as well, and would lose bytes that it finds in its place;
        so those are received before it.

        :raise OSError: the connection broke.
        """
        piece = memoryview(bytearray(RECORD))
        while count := self._receive(piece):
            self._early += piece[:count]
        try:
            self._sock.unwrap()
        except ssl.SSLWantWriteError:
            return False
        except ssl.SSLWantReadError:
            pass
        return True

    def close(self) -> None:
        """Free what this object has made; nothing may be called after that."""


class NativeEngine(Engine):
    """By OpenSSL itself, where Python's ``ssl`` has no call for it."""

    def __init__(self, sock: WireSocket) -> None:
        """:raise LookupError: OpenSSL's functions, or its handle of this connection, are not where
        this module looks."""
        super().__init__(sock)
        try:
            self._native = openssl.Stream(sock)
        except HostError as error:
            raise LookupError from error
        self._gathered = False
        """Whether the piece that is to be sent is encrypted, and is not all with the kernel."""

    def write(self, piece: Buffer) -> bool:
        """See ``Engine``."""
        self._gathered = self._gathered or super().write(piece)
        if self._gathered and self._native.flush():
            self._gathered = False
            return True
        if self._gathered:
            self.write_waits = select.POLLOUT
        return False

    def read(self, view: memoryview) -> int | None:
        """See ``Engine``."""
        count = self._native.read(view[:_MOST])
        if count > 0:
            return count
        # nothing has come, or the end, or a failure: Python has the words for it
        return super().read(view)

    def pending(self) -> int:
        """See ``Engine``."""
        return super().pending() + self._native.pending()

    def end(self) -> bool:
        """See ``Engine``."""
        return self._native.end()

    def close(self) -> None:
        """See ``Engine``."""
        self._native.close()


class ClosedEngine(Engine):
    """In place of another one that was closed: a thread may still wait on the connection."""

    def read(self, _: memoryview) -> int | None:
        """See ``Engine``."""
        raise closed()

    def write(self, _: Buffer) -> bool:
        """See ``Engine``."""
        raise closed()

    def pending(self) -> int:
        """See ``Engine``."""
        return 0

    def end(self) -> bool:
        """See ``Engine``."""
        raise closed()


def engine(sock: WireSocket) -> Engine:
    """The best engine that this Python has."""
    try:
        return NativeEngine(sock)
    except LookupError:
        return Engine(sock)

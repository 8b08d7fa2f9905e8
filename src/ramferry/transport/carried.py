"""A monitor's connection whose bytes another part of this process carries."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

from ramferry.transport import sockets

_PIECE: Final = 65536


class CarriedSocket:
    """Two ends of one connection inside this process.

    ``raw`` is for a protocol library that takes sockets; what that writes is read here, and what is
    fed here it reads.
    """

    def __init__(self, peer_pid: int | None = None) -> None:
        """:param peer_pid: the process at the monitor's end; None if it is not known."""
        self.raw, self._inner = socket.socketpair()
        self.raw.setblocking(False)
        self.peer_pid = peer_pid

    def read(self) -> bytes:
        """Wait for bytes that the library wrote; empty once it has closed its end."""
        with suppress(OSError):
            return self._inner.recv(_PIECE)
        return b""

    def feed(self, data: bytes) -> None:
        """Have the library read ``data``; dropped once it has closed its end."""
        with suppress(OSError):
            self._inner.sendall(data)

    def end(self) -> None:
        """End both directions: the library sees that its peer has gone."""
        sockets.cut(self._inner)

    def close(self) -> None:
        """Free the library's end."""
        self.raw.close()

    def free(self) -> None:
        """Free the inner end, once nobody reads from it."""
        self._inner.close()

"""What the modules of this package that handle raw sockets share."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Iterator
from typing import Final

from ramferry.patience import Patience

_GOODBYE: Final = 1.0
"""Seconds in which a refused peer may read why."""
_MOST_UNREAD: Final = 1 << 20


@contextlib.contextmanager
def closing_on_error(sock: socket.socket) -> Iterator[None]:
    """Close ``sock`` if the block raises."""
    try:
        yield
    except BaseException:
        sock.close()
        raise


def limit(sock: socket.socket, option: int, seconds: float) -> None:
    """Set ``SO_RCVTIMEO`` or ``SO_SNDTIMEO``."""
    value = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
    sock.setsockopt(socket.SOL_SOCKET, option, value)


def cut(sock: socket.socket) -> None:
    """End both directions and wake every thread that waits on this socket."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def let_read(sock: socket.socket) -> None:
    """End a connection so that the other side gets what was sent last: one that is closed while
    bytes are unread would be reset, and a reset tells nobody anything."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_WR)
        patience, left = Patience(_GOODBYE), _MOST_UNREAD
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        while left > 0 and not patience.over and poll.poll(patience.left * 1e3):
            count = len(socket.socket.recv(sock, 65536))
            if not count:
                return
            left -= count


def reason(error: OSError) -> str:
    """The words of the kernel, or the resolver, for an error."""
    return error.strerror or str(error) or type(error).__name__

"""What the modules of this package that handle raw sockets share."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator


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


def reason(error: OSError) -> str:
    """The words of the kernel, or the resolver, for an error."""
    return error.strerror or str(error) or type(error).__name__

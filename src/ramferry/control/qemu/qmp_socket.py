"""The socket of a QMP connection: whether anybody accepts, and who it is."""

from __future__ import annotations

import socket
import struct
import time
from typing import Final

from ramferry.errors import PeerUnreachable
from ramferry.patience import Patience

QUEUE_POLL_SECONDS: Final = 0.05
"""Between two looks at a queue that is full; the kernel does not tell when there is room."""


def open_socket(uri: str, address: str | tuple[str, int], timeout: float) -> socket.socket:
    """Connect within ``timeout`` seconds; the caller owns the socket.

    :param uri: for sentences.
    :raise PeerUnreachable: nobody listens there, or the monitor has another client.
    """
    connection: socket.socket | None = None
    try:
        if isinstance(address, tuple):
            connection = socket.create_connection(address, timeout)
        else:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(timeout)
            _connect_unix(connection, address, timeout)
    except BlockingIOError:
        assert connection is not None
        connection.close()
        raise not_greeted(uri, timeout) from None
    except OSError as error:
        if connection is not None:
            connection.close()
        raise PeerUnreachable(f"no QEMU answers at {uri}: {error.strerror or error}") from error
    connection.setblocking(False)
    return connection


def _connect_unix(connection: socket.socket, path: str, timeout: float) -> None:
    """Connect, and wait where others wait to be accepted already: a monitor's queue holds two.

    :raise BlockingIOError: they still do after ``timeout`` seconds.
    """
    patience = Patience(timeout)
    while True:
        try:
            return connection.connect(path)
        except BlockingIOError:
            if patience.over:
                raise
            time.sleep(QUEUE_POLL_SECONDS)


def not_greeted(uri: str, seconds: float) -> PeerUnreachable:
    """Of a monitor that another client holds, the first two to come are accepted in silence."""
    return PeerUnreachable(
        f"{uri} sends no QMP greeting within {seconds:g} s: it is not a QMP server, or another"
        " client holds its only connection: end that client, or start the QEMU with a second"
        " monitor, -qmp unix:PATH,server=on,wait=off (under libvirt in <qemu:commandline>)"
    )


def peer_pid(connection: socket.socket) -> int | None:
    """Ask the kernel who listens at the far end of a ``unix:`` socket: struct ucred's pid."""
    if connection.family != socket.AF_UNIX:
        return None
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return struct.unpack("3i", credentials)[0] or None

"""Datagrams to UNIX sockets."""

from __future__ import annotations

import socket


def send_datagram(path: str, data: bytes, seconds: float) -> bool:
    """Send one datagram to the socket at a path.

    :param seconds: for which a reader that does not read is waited for.
    :return: False if it could not be sent: nobody is there, or reads, or it is too long.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(seconds)
            sock.sendto(data, path)
    except OSError:
        return False
    return True

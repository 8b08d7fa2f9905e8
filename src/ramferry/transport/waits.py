"""What a connection's sender waits for, and what has arrived, as the kernel counts it."""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import Final

_ACKED_AT: Final = 120
"""Offset of ``tcpi_bytes_acked`` in ``struct tcp_info`` (linux/tcp.h), and …"""
_BUSY_AT: Final = 168
"""… of ``tcpi_busy_time`` (Linux 4.10 and later), after which comes ``tcpi_rwnd_limited``, both in
microseconds."""
_ACKED: Final = struct.Struct("=Q")
_TIMES: Final = struct.Struct("=QQ")


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds since a TCP connection was made."""

    busy: float
    """In which bytes were on their way that the peer's host had not acknowledged."""
    by_peer: float
    """Those of them in which nothing could be sent because the peer did not read."""
    acked: int = 0
    """Bytes that the peer's host has acknowledged."""


def waits_of(descriptor: int) -> Waits | None:
    """The waits of a connection; None if it has none, for it is closed, or no TCP connection.

    :param descriptor: the connection's own, which is not closed.
    """
    try:
        looked = socket.socket(fileno=descriptor)
    except (OSError, ValueError):
        return None
    try:
        with contextlib.suppress(OSError):
            info = looked.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            if len(info) >= _BUSY_AT + _TIMES.size:
                busy, by_peer = _TIMES.unpack_from(info, _BUSY_AT)
                (acked,) = _ACKED.unpack_from(info, _ACKED_AT)
                return Waits(busy / 1e6, by_peer / 1e6, acked)
    finally:
        looked.detach()
    return None

"""Which connection of a migration one is, by its first bytes."""

from __future__ import annotations

import socket
import struct
from typing import Final

from ramferry.wire.packets import INITIAL_SIZE

MULTIFD: Final = b"\x11\x22\x33\x44"
CHANNEL_ID_AT: Final = 24
RELAY: Final = b"RFRY"
"""The first of the 24 bytes that open a connection between two Ramferrys."""
OPENING_SIZE: Final = 24
KINDS: Final = {1: "control", 2: "main", 3: "multifd", 4: "control again", 5: "stream"}
KIND_AT: Final = 6
SSH: Final = b"SSH-"
TLS: Final = b"\x16\x03"
"""A handshake record. What is inside is not to be seen, so that its order is its name."""


def name(sock: socket.socket, order: int) -> str:
    """ "main", "multifd 3", "stream 1", "control", "control again", "ssh", or "tls 2", which is
    sealed.

    Waits for the bytes that tell it; "" if the connection ends before.

    :param order: how many connections came before it.
    """
    first = _peek(sock, len(MULTIFD))
    if first == MULTIFD:
        return _multifd(sock, 0)
    if first[: len(TLS)] == TLS:
        return f"tls {order}"
    if first == SSH:
        return "ssh"
    if first != RELAY:
        return "main"
    opening = _peek(sock, OPENING_SIZE)
    if len(opening) < OPENING_SIZE:
        return ""
    kind = KINDS.get(opening[KIND_AT], "")
    if kind == "stream":
        return _stream(sock)
    return _multifd(sock, OPENING_SIZE) if kind == "multifd" else kind


def _stream(sock: socket.socket) -> str:
    place = _peek(sock, OPENING_SIZE + 2)[OPENING_SIZE:]
    return f"stream {place[0]}" if place else ""


def _multifd(sock: socket.socket, begin: int) -> str:
    first = _peek(sock, begin + INITIAL_SIZE)
    if len(first) < begin + INITIAL_SIZE:
        return ""
    (channel,) = struct.unpack_from("B", first, begin + CHANNEL_ID_AT)
    return f"multifd {channel}"


def _peek(sock: socket.socket, size: int) -> bytes:
    return sock.recv(size, socket.MSG_WAITALL | socket.MSG_PEEK)

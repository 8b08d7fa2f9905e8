"""What fake peers do with their sockets, by the means that the flows' connections have."""

from __future__ import annotations

import socket

from ramferry.transport.address import Address
from ramferry.transport.connection import Connection
from ramferry.transport.plain import Plain, connect


def connected(address: Address) -> socket.socket:
    """A socket that is connected, blocking."""
    sock: socket.socket = connect(address)._sock
    sock.settimeout(None)
    return sock


def cut(sock: socket.socket) -> None:
    Plain(sock).cut()


def reset(sock: socket.socket) -> None:
    Plain(sock).reset()


def tune(sock: socket.socket, stall_timeout: float) -> None:
    Plain(sock).settle(stall_timeout)


def set_buffers(sock: socket.socket, **sizes: int) -> None:
    Plain(sock).set_buffers(**sizes)


def unread(sock: socket.socket) -> int:
    return Plain(sock).unread()


def heard_at(sock: socket.socket) -> float:
    return Plain(sock).heard_at()


def raw(connection: Connection) -> socket.socket:
    """The kernel's socket of a connection."""
    assert isinstance(connection, Plain)
    return connection._sock

"""Opens a tunnel to a far Ramferry, for a plain stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ramferry.flows.peer.far import Far
from ramferry.flows.peer.stream import Tunnel
from ramferry.transport import budget
from ramferry.transport.connection import Connection

CONNECTIONS: Final = 4
"""Connections of a tunnel where nobody has said how many."""


def open_tunnel(
    far: Far, dial: Callable[[], Connection], count: int | None, stall_timeout: float
) -> Tunnel:
    """Open a tunnel, to be started.

    :param dial: makes a connection to the far end.
    :param count: of its connections; None: ``CONNECTIONS``.
    :raise RamferryError: one of them could not be made, or broke; none is left open.
    """
    connections: list[Connection] = []
    try:
        for _ in range(count or CONNECTIONS):
            connection = dial()
            connections.append(connection)
            connection.settle(stall_timeout)
            connection.set_buffers(send=budget.INITIAL)
    except BaseException:
        for connection in connections:
            connection.close()
        raise
    return far.stream(connections)

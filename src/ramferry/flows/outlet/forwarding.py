"""Bytes of main passed on to a destination."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ramferry.errors import MigrationFailed, PeerTimeout
from ramferry.transport.connection import Connection
from ramferry.transport.sockets import reason


@contextmanager
def sending_on_main() -> Iterator[None]:
    """Name main in what a send to the destination raises.

    :raise MigrationFailed: the connection broke.
    :raise PeerTimeout: the destination takes nothing for the stall limit.
    """
    try:
        yield
    except OSError as error:
        why = f"main: the destination broke the connection: {reason(error)}"
        raise MigrationFailed(why) from error
    except PeerTimeout:
        raise PeerTimeout("main: the destination takes no more bytes") from None


def send_patiently(connection: Connection, data: memoryview, check: Callable[[], None]) -> None:
    """Send all of ``data``, however long the peer takes nothing.

    :param check: called each time that it took nothing for the stall limit; if it raises, that
        ends the wait.
    :raise OSError: the connection broke.
    """
    while data:
        count = connection.send_some(data)
        data = data[count:]
        if not count:
            check()

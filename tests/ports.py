"""Port numbers that nobody else on this machine is given while a test uses them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

TRIES: Final = 20
NONE: Final = "no port that is free by TCP and by UDP"


@contextmanager
def port_of_nobody() -> Iterator[int]:
    """A port of 127.0.0.1 at which nobody listens, and nobody will who asks the system for one.

    It is bound, so that a connect is refused. A listener of the test's own may take it if it reuses
    addresses, as Ramferry's and sshd's do.
    """
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


@contextmanager
def port_taken_by_udp() -> Iterator[int]:
    """The same, with a UDP socket at that number: by chance it may be another process' already."""
    for _ in range(TRIES):
        with port_of_nobody() as port, _by_udp(port) as taken:
            if taken is not None:
                yield port
                return
    raise AssertionError(NONE)


@contextmanager
def port_of_two() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket that listens by TCP, and one by UDP of the same number."""
    for _ in range(TRIES):
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            _by_udp(listener.getsockname()[1]) as taken,
        ):
            if taken is not None:
                yield listener, taken
                return
    raise AssertionError(NONE)


@contextmanager
def _by_udp(port: int) -> Iterator[socket.socket | None]:
    """None: the number is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        try:
            made.bind(("127.0.0.1", port))
        except OSError:
            yield None
        else:
            yield made

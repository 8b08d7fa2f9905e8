"""Port numbers that nobody else on this machine is given while a test uses them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def port_of_nobody() -> Iterator[int]:
    """A port of 127.0.0.1 at which nobody listens, and nobody will who asks the system for one.

    It is bound, so that a connect is refused. A listener of the test's own may take it if it reuses
    addresses, as Ramferry's do.
    """
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


@contextmanager
def port_taken_by_udp() -> Iterator[int]:
    """The same, with a UDP socket at that number: by chance it may be another process' already."""
    for _ in range(20):
        with (
            port_of_nobody() as port,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken,
        ):
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                continue
            yield port
            return
    raise AssertionError("no port that is free by TCP and by UDP")

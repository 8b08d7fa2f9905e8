"""What a link carries: one TCP connection through it for a second, by sockets of this process.

A socket stays in the network namespace of the thread that made it. So both ends can be held by one
process: a thread enters the namespace, makes the socket and ends.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from ramferry.control.hosts.namespaces import FOLDER, Namespaces
from ramferry.errors import HostError
from ramferry.transport.throughput import SILENCE_SECONDS, drain, pour

CLONE_NEWNET: Final = 0x40000000

T = TypeVar("T")


def probe(namespaces: Namespaces) -> float:
    """Bytes a second that one connection carries from the source's side to the destination's.

    :raise HostError: the source's side cannot reach the destination's.
    """
    try:
        listener = _within(
            namespaces.destination, lambda: socket.create_server((namespaces.address, 0))
        )
        with listener:
            address = listener.getsockname()[:2]
            sender = _within(
                namespaces.source, lambda: socket.create_connection(address, SILENCE_SECONDS)
            )
            with sender, listener.accept()[0] as receiver:
                pump = threading.Thread(target=pour, args=([sender],), daemon=True)
                pump.start()
                found = drain([receiver])
                pump.join()
                return found.rate
    except OSError as error:
        raise HostError(f"the probe of the link failed: {error}") from error


def _within(namespace: str, make: Callable[[], T]) -> T:
    """Call ``make`` in a thread that is in ``namespace``; if that is empty, in this one."""
    if not namespace:
        return make()
    made: list[T] = []
    failed: list[OSError] = []

    def there() -> None:
        try:
            _enter(namespace)
            made.append(make())
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=there)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


def _enter(namespace: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(FOLDER / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)

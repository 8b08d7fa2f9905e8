"""What a link carries: one TCP connection through it for a second, by sockets of this process.

A socket stays in the network namespace of the thread that made it. So both ends can be held by one
process: a thread enters the namespace, makes the socket and ends.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from ramferry.control.hosts.host import NAMESPACES, Host, Hosts, Namespace
from ramferry.errors import HostError, kernel_error
from ramferry.transport.throughput import flow_between

CLONE_NEWNET: Final = 0x40000000

T = TypeVar("T")


def probe(hosts: Hosts) -> float:
    """Bytes a second that one connection carries from the source's side to the destination's.

    :raise HostError: the source's side cannot reach the destination's.
    """
    try:
        return flow_between(
            hosts.destination.address,
            near=lambda make: _within(hosts.source, make),
            far=lambda make: _within(hosts.destination, make),
        ).rate
    except OSError as error:
        raise HostError(f"the probe of the link failed: {error}") from error


def _within(host: Host, make: Callable[[], T]) -> T:
    """Call ``make`` on a host: for a network namespace, in a thread that is in it."""
    if not isinstance(host, Namespace):
        return make()
    made: list[T] = []
    failed: list[OSError] = []

    def there() -> None:
        try:
            _enter(host.name)
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
    descriptor = os.open(NAMESPACES / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, CLONE_NEWNET):
            number = ctypes.get_errno()
            raise kernel_error(number)
    finally:
        os.close(descriptor)

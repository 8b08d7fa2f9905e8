"""What a link carries: one TCP connection through it for a second, by sockets of this process.

A socket belongs to the network namespace of the thread that made it, for good; so a thread that
goes there, makes it and ends is all it takes to have both ends in one process.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from ramferry.control.namespaces import FOLDER, Namespaces
from ramferry.errors import HostError

SETTLE_SECONDS: Final = 0.3
"""Until the bucket's burst is spent and TCP has found its window."""
PROBE_SECONDS: Final = 1.0
PIECE: Final = 1 << 20
TIMEOUT_SECONDS: Final = 5.0
CLONE_NEWNET: Final = 0x40000000

T = TypeVar("T")


def probe(namespaces: Namespaces) -> float:
    """Bytes a second that one connection carries from the source's side to the destination's.

    :raise HostError: the one cannot reach the other.
    """
    try:
        listener = _within(
            namespaces.destination, lambda: socket.create_server((namespaces.address, 0))
        )
        with listener:
            address = listener.getsockname()[:2]
            sender = _within(
                namespaces.source, lambda: socket.create_connection(address, TIMEOUT_SECONDS)
            )
            with sender, listener.accept()[0] as receiver:
                receiver.settimeout(TIMEOUT_SECONDS)
                return _measure(sender, receiver)
    except OSError as error:
        raise HostError(f"the probe of the link failed: {error}") from error


def _measure(sender: socket.socket, receiver: socket.socket) -> float:
    pump = threading.Thread(target=_pump, args=(sender,), daemon=True)
    pump.start()
    buffer = bytearray(PIECE)
    _take(receiver, buffer, SETTLE_SECONDS)
    taken, seconds = _take(receiver, buffer, PROBE_SECONDS)
    sender.shutdown(socket.SHUT_RDWR)
    receiver.shutdown(socket.SHUT_RDWR)
    pump.join(TIMEOUT_SECONDS)
    return taken / seconds


def _take(receiver: socket.socket, buffer: bytearray, seconds: float) -> tuple[int, float]:
    begun, taken = time.monotonic(), 0
    while (now := time.monotonic()) - begun < seconds:
        got = receiver.recv_into(buffer)
        if not got:
            raise ConnectionError("the sending side ended")
        taken += got
    return taken, now - begun


def _pump(sender: socket.socket) -> None:
    piece = bytes(PIECE)
    try:
        while True:
            sender.sendall(piece)
    except OSError:
        return  # shut down: the probe has what it wants; the receiving side tells of the rest


def _within(namespace: str, make: Callable[[], T]) -> T:
    """Call ``make`` in a thread that is in ``namespace``; empty: where we are."""
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

"""Measures what connections carry: sends at one end and counts at the other for about a second."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

SETTLE_SECONDS: Final = 0.3
"""Seconds until a shaper's burst is spent and TCP has found its window; not counted."""
COUNTED_SECONDS: Final = 1.0
MOST_BYTES: Final = 4 << 30
"""Most bytes of all connections together; a link of 200 Gbit/s takes 0.17 s for them."""
SILENCE_SECONDS: Final = 5.0
"""Seconds after which a peer that moves nothing is given up."""
PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Flow:
    """What came through the connections."""

    counted_bytes: int
    seconds: float
    """Seconds in which these bytes came."""
    all_bytes: int
    """All bytes, including those from before the flow had settled."""

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.counted_bytes / self.seconds


Maker = Callable[[Callable[[], socket.socket]], socket.socket]
"""Calls a function that makes a socket, in the network namespace where it is wanted, and returns
the socket. A socket always belongs to the namespace of the thread that made it."""


def flow_between(host: str, near: Maker, far: Maker) -> Flow:
    """What one TCP connection carries whose two ends are sockets of this process.

    :param host: the name or IP address at which the far end listens.
    :param near: makes the sending socket.
    :param far: makes the receiving socket.
    :raise OSError: the near end cannot reach the far end.
    """
    with far(lambda: socket.create_server((host, 0))) as listener:
        place = listener.getsockname()[:2]
        sender = near(lambda: socket.create_connection(place, SILENCE_SECONDS))
        with sender, listener.accept()[0] as receiver:
            pump = threading.Thread(target=pour, args=([sender],), daemon=True)
            pump.start()
            found = drain([receiver])
            pump.join()
            return found


def pour(socks: Sequence[socket.socket]) -> None:
    """Send zeros through all connections until the far end cuts them, or ``MOST_BYTES`` were sent.

    Returns within the probe's time, ``SILENCE_SECONDS`` later at most.
    """
    threads = [
        threading.Thread(target=_pour, args=(sock, MOST_BYTES // len(socks)), daemon=True)
        for sock in socks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _pour(sock: socket.socket, most: int) -> None:
    sock.settimeout(SILENCE_SECONDS)
    piece, end = bytes(PIECE), time.monotonic() + SETTLE_SECONDS + COUNTED_SECONDS + SILENCE_SECONDS
    with suppress(OSError):  # cut: the far end has what it wants, and tells of all else
        while most > 0 and time.monotonic() < end:
            sock.sendall(piece[: min(most, PIECE)])
            most -= PIECE
        sock.shutdown(socket.SHUT_WR)


class _Drain:
    """The receiving end of one connection."""

    def __init__(self, sock: socket.socket, begun: float) -> None:
        self._sock = sock
        self._begun = begun
        self.early = self.late = 0
        self.last = begun

    def run(self) -> None:
        """Receive until the time is over, then cut the connection."""
        self._sock.settimeout(SILENCE_SECONDS)
        buffer = bytearray(PIECE)
        settled = self._begun + SETTLE_SECONDS
        end = settled + COUNTED_SECONDS
        with suppress(OSError):
            while (now := time.monotonic()) < end and (got := self._sock.recv_into(buffer)):
                if now < settled:
                    self.early += got
                else:
                    self.late += got
                self.last = time.monotonic()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)


def drain(socks: Sequence[socket.socket]) -> Flow:
    """Count what comes through all connections, then cut them.

    :raise ConnectionError: nothing came.
    """
    begun = time.monotonic()
    drains = [_Drain(sock, begun) for sock in socks]
    threads = [threading.Thread(target=one.run, daemon=True) for one in drains]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    early, late = sum(one.early for one in drains), sum(one.late for one in drains)
    last = max(one.last for one in drains)
    if not early + late:
        raise ConnectionError("nothing came through it")
    settled = begun + SETTLE_SECONDS
    if late and last > settled:
        return Flow(late, last - settled, early + late)
    return Flow(early, last - begun, early)  # it had all it may send before the flow settled

"""How fast this host's stations are, by what all of them do with every byte: sockets.

The costs of ``report.costs`` were measured on one host. Measuring them anew takes QEMUs and a
minute; how much CPU a packet takes through a socket is told in a tenth of a second, and most of a
station's cost is that: copies by the kernel, in and out.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Final

from ramferry.codec.base import PACKET_BYTES
from ramferry.report.costs import GIB, REFERENCE, Costs

REFERENCE_COPY: Final = 0.30 / GIB
"""CPU seconds of both ends for each byte, on the host of ``report.costs``."""

PACKETS: Final = 128
RUNS: Final = 7
"""The fastest counts: what disturbed another is no property of the host."""

STRANGE: Final = (0.2, 5.0)
"""Times the reference beyond which not the host was measured, but what disturbed it."""


def host_costs() -> Costs:
    """This host's costs."""
    low, high = STRANGE
    factor = min(_copy() for _ in range(RUNS)) / REFERENCE_COPY
    return REFERENCE.times(min(max(factor, low), high))


def _copy() -> float:
    """CPU seconds for each byte of packets that one thread sends to another."""
    here, there = socket.socketpair()
    spent: list[float] = []
    with here, there:
        taker = threading.Thread(target=lambda: spent.append(_take(there)))
        taker.start()
        packet, begun = bytes(PACKET_BYTES), time.thread_time()
        for _ in range(PACKETS):
            here.sendall(packet)
        sent = time.thread_time() - begun
        here.shutdown(socket.SHUT_WR)
        taker.join()
    return (sent + spent[0]) / (PACKETS * PACKET_BYTES)


def _take(sock: socket.socket) -> float:
    buffer, begun = bytearray(PACKET_BYTES), time.thread_time()
    while sock.recv_into(buffer, 0, socket.MSG_WAITALL):
        pass
    return time.thread_time() - begun

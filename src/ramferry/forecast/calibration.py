"""How much slower or faster than the reference host this host moves bytes through sockets.

The costs of ``forecast.costs`` were measured on one reference host. To measure them here would take
QEMUs and a minute. The CPU time of a packet through a socket is measured in a tenth of a second,
and most of the costs consist of that: copies by the kernel, in and out.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ramferry.forecast.costs import REFERENCE, Costs
from ramferry.transport.socket_cost import cpu_of_copy
from ramferry.vocabulary import GIB, PACKET_BYTES

REFERENCE_COPY: Final = 0.11 / GIB
"""CPU seconds of both ends for each byte on the reference host: the least of ``RUNS`` was 0.107 to
0.112 in 5 tries. It was 0.22, and all costs higher, on the same kind of host at another time."""

PACKETS: Final = 128
RUNS: Final = 14
"""Of so many measurements the fastest counts, since other work disturbed the slower ones."""
AT_ONCE: Final = 2
"""Measurements that run together, because a migration keeps more than one core busy as well."""

STRANGE: Final = (0.2, 5.0)
"""Bounds of the factor: beyond them it was not the host that was measured, but a disturbance."""


def host_costs() -> Costs:
    """The costs of this host."""
    low, high = STRANGE
    with ThreadPoolExecutor(AT_ONCE) as pool:
        factor = min(pool.map(lambda _: _copy(), range(RUNS))) / REFERENCE_COPY
    return REFERENCE.times(min(max(factor, low), high))


def _copy() -> float:
    """CPU seconds for each byte of packets that one thread sends to another."""
    return cpu_of_copy(PACKETS, PACKET_BYTES) / (PACKETS * PACKET_BYTES)

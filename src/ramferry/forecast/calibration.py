"""How fast this host's stations are, by what all of them do with every byte: sockets.

The costs of ``forecast.costs`` were measured on one host. Measuring them anew takes QEMUs and a
minute; how much CPU a packet takes through a socket is told in a tenth of a second, and most of a
station's cost is that: copies by the kernel, in and out.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ramferry.codec.base import PACKET_BYTES
from ramferry.forecast.costs import GIB, REFERENCE, Costs
from ramferry.transport.socket_cost import cpu_of_copy

REFERENCE_COPY: Final = 0.22 / GIB
"""CPU seconds of both ends for each byte, on the host of ``forecast.costs``: the least of ``RUNS``
was 0.19 to 0.26 in 12 tries beside other work; the least of 7, one by one, was 0.22 to 0.44."""

PACKETS: Final = 128
RUNS: Final = 14
"""The fastest counts: what disturbed another is no property of the host."""
AT_ONCE: Final = 2
"""As a migration keeps more than one core busy, too."""

STRANGE: Final = (0.2, 5.0)
"""Times the reference beyond which not the host was measured, but what disturbed it."""


def host_costs() -> Costs:
    """This host's costs."""
    low, high = STRANGE
    with ThreadPoolExecutor(AT_ONCE) as pool:
        factor = min(pool.map(lambda _: _copy(), range(RUNS))) / REFERENCE_COPY
    return REFERENCE.times(min(max(factor, low), high))


def _copy() -> float:
    """CPU seconds for each byte of packets that one thread sends to another."""
    return cpu_of_copy(PACKETS, PACKET_BYTES) / (PACKETS * PACKET_BYTES)

"""How much a relay's sockets may hold: buffers are downtime.

Everything that lies in a buffer when the guest stops is sent before the guest can go on. With
default TCP buffers QEMU missed a 300 ms downtime limit by a factor of 4 to 7 on a 30 MB/s link
(8 channels: 2048 ms; with small buffers 563 ms). So a socket's buffer follows the rate at which
the destination really drains it.
"""

from __future__ import annotations

from typing import Final

INITIAL: Final = 128 * 1024
"""Bytes per socket before a rate is known."""
SMALLEST: Final = 64 * 1024
SEGMENTS: Final = 2
"""Least number of segments that a buffer holds: with less, TCP sends nothing before a timer runs
out. With 32 KiB over loopback, whose segments have 64 KiB, 0.3 MB/s of a 6 MB/s cap went
through."""
LARGEST: Final = 4 * 1024 * 1024
QUEUE_SECONDS: Final = 0.020
"""Share of the 100 ms budget that one side's socket buffers may hold; the rest is for the
packets in the relay's own hands and for the far end's buffers."""


def socket_buffer(rate: float, channels: int, rtt: float, segment: int = 0) -> int:
    """Bytes that one channel's socket may hold.

    :param rate: bytes per second that all channels together drained lately.
    :param channels: how many channels share that rate.
    :param rtt: smallest round trip in seconds. A buffer of twice the bytes in flight keeps a long
        link full, and lets a window that is too small grow.
    :param segment: bytes of a TCP segment on this path; 0 for a UNIX socket.
    """
    share = rate / max(channels, 1)
    wanted = share * (QUEUE_SECONDS + 2 * rtt)
    return int(min(max(wanted, SMALLEST, SEGMENTS * segment), LARGEST))


def outbox(rate: float) -> float:
    """Bytes that may wait to be sent before channels stop reading.

    :param rate: bytes per second that all channels together drained lately.
    """
    return rate * QUEUE_SECONDS

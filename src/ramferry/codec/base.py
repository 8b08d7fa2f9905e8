"""The contract of a multifd method: one encoder or decoder per channel, bytes to bytes.

A codec knows pages and payloads, never headers or sockets. Instances belong to one thread at a
time; everything expensive inside them releases the GIL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from ramferry.vocabulary import Buffer

MAX_PAYLOAD = 1024 * 1024
"""Largest payload a zlib, zstd or qatzip packet may carry: QEMU's receive buffer (10.0, 11.1)."""


class Encoder(Protocol):
    """Compresses the pages of one channel, packet by packet, in the order they are sent."""

    @property
    def backend(self) -> str:
        """What did the work, for the result's ``backend`` column: "isa-l", "zlib", "zstd" …"""

    def encode(self, pages: memoryview) -> list[Buffer]:
        """Compress one packet's normal pages.

        Called once per packet that has normal pages, never with an empty buffer. ``pages`` holds
        n · page-size bytes, one page after another; it is the caller's, is not changed and may be
        overwritten only after the result was sent (a method may return parts of it).

        :return: the payload in parts, for ``sendmsg``; valid until the next call. Their sizes
            sum to the header's next_packet_size and never exceed ``MAX_PAYLOAD``.
        """


class Decoder(Protocol):
    """Inflates the payloads of one channel, packet by packet, in the order they arrived."""

    @property
    def backend(self) -> str:
        """What does the work."""

    @property
    def verbatim(self) -> bool:
        """True if the payload is the pages themselves (``none``): then the caller may receive it in
        place."""

    def max_payload(self, pages: int) -> int:
        """Most payload bytes that ``pages`` normal pages may take on the wire.

        The caller checks next_packet_size against it before it receives or allocates anything.
        """

    def decode(self, payload: memoryview, out: memoryview) -> None:
        """Inflate ``payload`` into ``out``, the caller's n · page-size bytes.

        Must fill ``out`` exactly and consume the whole of ``payload``; nothing of either is kept.

        :raise CorruptDataError: the payload is damaged, short, long, or has bytes left over. The
            decoder is of no further use then.
        """


@runtime_checkable
class Accelerated(Protocol):
    """An encoder or decoder whose work a device may do, and the CPU whatever the device does
    not."""

    @property
    def accelerated(self) -> bool:
        """Whether a device was chosen, lost or not."""

    @property
    def why(self) -> str:
        """One sentence: which of the two was chosen, and why."""

    @property
    def shares(self) -> Mapping[str, int]:
        """Bytes of pages that each engine has done so far; empty if there is only one engine."""

    @property
    def trouble(self) -> str:
        """The latest failure of the device, whose work the CPU then did; empty if it did not
        fail."""

    def buffer(self, size: int) -> memoryview:
        """Memory of ``size`` bytes for pages or payloads, which the device reads and writes without
        a copy."""

"""Method ``zstd``: zstd frames (RFC 8878); each packet ends where a block ends.

QEMU writes one frame per channel, flushed after each packet: its header stands in the first packet
only, tells no content size and no checksum, and the frame is never ended. The encoder here does the
same, but for ``FRAME_LEVELS``, at which each packet is a complete frame. QEMU 7.2, 10.0 and 11.1
take packets of one or more complete frames, with or without checksum, and so does the decoder here.
"""

from __future__ import annotations

from typing import Final

from ramferry.codec.base import MAX_PAYLOAD
from ramferry.codec.zstd_frame import BlockWalk
from ramferry.errors import CorruptDataError
from ramferry.native import zstd
from ramferry.vocabulary import PACKET_BYTES

MAX_WINDOW: Final = 1 << 27
"""Largest window, in bytes, that a frame header may ask for: libzstd's own default limit."""


FRAME_LEVELS: Final = frozenset({1, 2})
"""Levels at which each packet is a complete frame. libzstd compresses and decompresses such a frame
from memory into memory, without a copy into its own, but cannot refer to earlier packets: at level
1 that is 8 % less time at the sending end, 7 % less at the other and 1.1 % more bytes; at level 3
no less time and 2.4 % more bytes (512 KiB packets of the Silesia subset, AMD EPYC)."""


class ZstdEncoder(zstd.Compressor):
    """The channel's compressor; incompressible pages grow by some 20 bytes.

    Its context takes 1 MiB at level 1, 3 at 3, 7 at 8, 24 at 10, 89 at 19, 193 at 20; the far
    side's window 512 KiB at level 1, 2 MiB at 3, 8 at 19, 32 at 20 (libzstd 1.5.7).
    """

    backend = "zstd"

    def __init__(self, level: int) -> None:
        """:param level: 0-20, libzstd's meaning, where 0 stands for its default, 3."""
        super().__init__(level, PACKET_BYTES, frames=level in FRAME_LEVELS)


class ZstdFrameEncoder(zstd.Compressor):
    """Compresses each call's pages into one complete frame, which needs nothing before it.

    Such a frame is a packet, too.
    """

    backend = "zstd"

    def __init__(self, level: int) -> None:
        """:param level: as for ``ZstdEncoder``, or one below 0, which libzstd has as well and
        QEMU has not: faster and weaker, the lower the more so."""
        super().__init__(level, PACKET_BYTES, frames=True)


class ZstdDecoder:
    """The channel's decompression stream, into the caller's buffer, and never more than asked for.

    The context grows by the window of the frame, at most ``MAX_WINDOW``, and touches only what it
    fills of it.
    """

    backend = "zstd"
    verbatim = False

    def __init__(self) -> None:
        self._stream: zstd.Decompressor | None = zstd.Decompressor(MAX_WINDOW.bit_length() - 1)
        self._blocks = BlockWalk()

    def max_payload(self, pages: int) -> int:  # noqa: ARG002
        """``MAX_PAYLOAD``, however many pages."""
        return MAX_PAYLOAD

    def decode(self, payload: memoryview, out: memoryview) -> None:
        """Decompress the next packet of the stream into ``out``.

        At most one byte more than ``out`` holds is written out. Without a checksum, which QEMU
        does not send, damage may also pass as other page content.

        :raise CorruptDataError: not zstd blocks, a block cut short, a window over ``MAX_WINDOW``,
            a wrong checksum, another size than ``out``, or a packet after a damaged one.
        """
        # a context that failed is not to be used again
        stream, self._stream = self._stream, None
        if stream is None:
            raise CorruptDataError("a sound zstd stream", "a packet after a damaged one")
        self._blocks.check(payload)
        try:
            filled, left = stream.packet(payload, out)
        except ValueError as error:
            raise CorruptDataError("zstd blocks", f"damaged data ({error})") from error
        if filled != len(out) or left:
            more = filled > len(out) or left
            raise CorruptDataError(f"{len(out)} bytes after inflating", "more" if more else "fewer")
        self._stream = stream

"""Method ``zstd``: one zstd stream (RFC 8878) per channel, flushed after each packet.

The frame header stands in the first packet only, tells no content size and no checksum, and the
frame is never ended. Other senders may write one or more complete frames per packet, with or
without checksum; the inflating side takes both.
"""

from __future__ import annotations

from typing import IO, Final, cast

import zstandard

from ramferry.codec.base import MAX_PAYLOAD
from ramferry.codec.zstd_frame import BlockWalk
from ramferry.errors import CorruptDataError
from ramferry.vocabulary import Buffer

MAX_WINDOW: Final = 1 << 27
"""Largest window, in bytes, that a frame header may ask for: libzstd's own default limit."""


class ZstdEncoder:
    """The channel's compression stream.

    Its context takes 1 MiB at level 1, 3 at 3, 7 at 8, 24 at 10, 89 at 19, 193 at 20; the far
    side's window 512 KiB at level 1, 2 MiB at 3, 8 at 19, 32 at 20 (libzstd 1.5.7).
    """

    backend = "zstd"

    def __init__(self, level: int) -> None:
        """:param level: 0-20, libzstd's meaning, where 0 stands for its default, 3."""
        self._stream = zstandard.ZstdCompressor(level=level).compressobj()

    def encode(self, pages: memoryview) -> list[Buffer]:
        """Compress ``pages`` and end the block; incompressible pages grow by some 20 bytes."""
        parts = (
            self._stream.compress(pages),
            self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK),
        )
        return [part for part in parts if part]


class ZstdFrameEncoder:
    """Compresses each call's pages into one complete frame, which needs nothing before it.

    Such a frame is a packet, too: QEMU 7.2, 10.0 and 11.1 inflate them.
    """

    backend = "zstd"

    def __init__(self, level: int) -> None:
        """:param level: as for ``ZstdEncoder``."""
        self._compressor = zstandard.ZstdCompressor(level=level)

    def encode(self, pages: memoryview) -> list[Buffer]:
        """Compress ``pages``."""
        return [self._compressor.compress(pages)]


class ZstdDecoder:
    """The channel's decompression stream.

    ``stream_reader.readinto`` decompresses into the caller's buffer: 1409 MB/s, and never more
    than asked for; ``decompressobj`` returns bytes, 1279-1314 MB/s, as many as the payload holds
    (EPYC, one core, 512 KiB packets of the Silesia subset, level 1). The context grows by the
    window of the frame, at most ``MAX_WINDOW``, and touches only what it fills of it.
    """

    backend = "zstd"
    verbatim = False

    def __init__(self) -> None:
        self._payload = _PayloadFile()
        self._stream: zstandard.ZstdDecompressionReader | None
        self._stream = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(
            cast("IO[bytes]", self._payload), read_across_frames=True
        )
        self._blocks = BlockWalk()
        self._beyond = bytearray(1)

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
        # A reader that failed still points into the failed payload: it must never run again.
        stream, self._stream = self._stream, None
        if stream is None:
            raise CorruptDataError("a sound zstd stream", "a packet after a damaged one")
        self._blocks.check(payload)
        try:
            with payload[:] as view:
                self._payload.pieces = [self._blocks.no_op, view]
                self._fill(stream, out)
        except zstandard.ZstdError as error:
            raise CorruptDataError("zstd blocks", f"damaged data ({error})") from error
        self._stream = stream

    def _fill(self, stream: zstandard.ZstdDecompressionReader, out: memoryview) -> None:
        """Fill ``out``, then see that one byte more cannot be had from the payload.

        The library may hold a block that did not fit into ``out`` and hands it out only when it
        is given more input: that is what the no-op behind the payload is for.
        """
        try:
            stream.readinto(out)
        except _PayloadExhausted:
            raise CorruptDataError(f"{len(out)} bytes after inflating", "fewer") from None
        try:
            stream.readinto(self._beyond)
        except _PayloadExhausted:
            return
        raise CorruptDataError(f"{len(out)} bytes after inflating", "more")


class _PayloadExhausted(Exception):
    """The packet has no more bytes. Unlike an end of file, this leaves the stream open."""


class _PayloadFile:
    """The packet at hand as the file that the stream reads, uncopied."""

    def __init__(self) -> None:
        self.pieces: list[Buffer] = []
        """What is to be read, last piece first."""

    def read(self, _size: int) -> Buffer:
        """Return the next piece, whole, whatever size was asked for.

        :raise _PayloadExhausted: there are no more.
        """
        if not self.pieces:
            raise _PayloadExhausted
        return self.pieces.pop()

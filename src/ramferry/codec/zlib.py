"""Method ``zlib``: one zlib stream (RFC 1950) per channel, for the whole migration.

Each packet ends with a sync flush, the two header bytes stand in the first packet only, and the
stream is never finished: no final block, no Adler-32. The inflating side therefore accepts any
sequence of non-final deflate blocks that ends with a sync flush, also packets that never look
back into earlier ones.
"""

from __future__ import annotations

from typing import Final, cast

from isal import isal_zlib
from zlib_ng import zlib_ng

from ramferry.codec.base import MAX_PAYLOAD
from ramferry.errors import CorruptDataError
from ramferry.vocabulary import Buffer

SYNC_MARK: Final = b"\x00\x00\xff\xff"
"""LEN and NLEN of the empty stored block that a sync flush appends (RFC 1951 §3.2.4)."""

_RAW_DEFLATE: Final = -15
"""``wbits``: no header, no trailer, a window of 32 KiB."""

INFLATE_ERROR: Final = cast("type[Exception]", isal_zlib.error)
"""What ISA-L's inflaters raise on damage; the package's stubs call the class an instance."""

# Level of the method → library and its level. A level's promise is zlib's ratio at that level.
# EPYC with AVX-512, one core, 512 KiB packets, 4 MiB of each file of the Silesia subset, stream
# with sync flushes; MB/s and ratio, stdlib zlib 1.2.13 → the choice here:
#   0   946 1.000 →  2703 1.000      5  45 3.244 → 94 3.278
#   1   115 2.867 →   486 2.845      6  25 3.312 → 69 3.304
#   2   103 2.966 →   231 2.972      7  19 3.331 → 45 3.336
#   3    66 3.079 →   134 3.126      8  12 3.349 → 34 3.348
#   4    59 3.143 →   103 3.214      9  12 3.351 → 28 3.354
# The worst single file is 4.0 % larger than zlib's (level 1, ooffice). ISA-L 2 at level 2 would
# be 7.0 % larger on xml; zlib-ng 1 at level 1 loses 20 % in total.
_ISA_L: Final = {1: 1, 2: 3}

# FLEVEL, the second header byte, is a remark without effect; zlib's own value for each level.
_HEADER_FLAGS: Final = bytes.fromhex("01 01 5e 5e 5e 5e 9c da da da")


class ZlibEncoder:
    """The channel's deflate stream; ISA-L for the fast levels, zlib-ng for the others."""

    def __init__(self, level: int) -> None:
        """:param level: 0-9, zlib's meaning."""
        self._header = bytes((0x78, _HEADER_FLAGS[level]))
        # A raw stream under a header of our own: the Adler-32 would never be sent.
        self._stream: isal_zlib.Compress | zlib_ng._Compress
        if level in _ISA_L:
            self.backend = "isa-l"
            self._stream = isal_zlib.compressobj(_ISA_L[level], isal_zlib.DEFLATED, _RAW_DEFLATE)
        else:
            self.backend = "zlib-ng"
            self._stream = zlib_ng.compressobj(level, zlib_ng.DEFLATED, _RAW_DEFLATE)

    def encode(self, pages: memoryview) -> list[Buffer]:
        """Deflate ``pages`` and flush; incompressible pages grow by less than 0.1 %."""
        header, self._header = self._header, b""
        parts = (header, self._stream.compress(pages), self._stream.flush(zlib_ng.Z_SYNC_FLUSH))
        return [part for part in parts if part]


class ZlibDecoder:
    """The channel's inflate stream.

    ISA-L's streaming inflater, whole packets, one copy into the caller's buffer: 763 MB/s where
    zlib-ng takes 618 and stdlib zlib 349 (machine and data as above; in pieces of 16-128 KiB
    ISA-L takes 590-709).
    """

    backend = "isa-l"
    verbatim = False

    def __init__(self) -> None:
        self._stream = isal_zlib.decompressobj()

    def max_payload(self, pages: int) -> int:  # noqa: ARG002
        """``MAX_PAYLOAD``, however many pages."""
        return MAX_PAYLOAD

    def decode(self, payload: memoryview, out: memoryview) -> None:
        """Inflate the next packet of the stream into ``out``.

        At most one byte more than ``out`` holds is inflated. Deflate has no integrity of its own
        and the stream's Adler-32 is never sent, so damage may also pass as other page content.
        Left-over bytes that themselves end like a sync flush may show in the next packet only.

        :raise CorruptDataError: not deflate data, no sync flush at the end, a finished stream,
            or another size than ``out``.
        """
        tail = bytes(payload[-len(SYNC_MARK) :])
        if tail != SYNC_MARK:
            raise CorruptDataError(
                "a zlib payload that ends with a sync flush, 00 00 ff ff",
                f"{tail.hex(' ') or 'nothing'} at its end",
            )
        try:
            pages = self._stream.decompress(payload, len(out) + 1)
        except INFLATE_ERROR as error:
            raise CorruptDataError("deflate data", f"damaged data ({error})") from error
        if self._stream.eof:
            raise CorruptDataError("a zlib stream that goes on", "its last block")
        if len(pages) != len(out):
            more = "or more " if len(pages) > len(out) else ""
            raise CorruptDataError(f"{len(out)} bytes after inflating", f"{len(pages)} {more}bytes")
        out[:] = pages

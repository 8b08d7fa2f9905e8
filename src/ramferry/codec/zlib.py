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
from ramferry.native import isal
from ramferry.native.memory import bound
from ramferry.vocabulary import PACKET_BYTES, Buffer

SYNC_MARK: Final = b"\x00\x00\xff\xff"
"""LEN and NLEN of the empty stored block that a sync flush appends (RFC 1951 §3.2.4)."""

_RAW_DEFLATE: Final = -15
"""``wbits``: no header, no trailer, a window of 32 KiB."""

_DEFLATED, _MOST_WINDOW, _DICTIONARY = 8, 7, 0x20
"""Fields of the header's two bytes: the method, the most that CINFO may be, and FDICT."""

INFLATE_ERROR: Final = cast("type[Exception]", isal_zlib.error)
"""What ISA-L's inflaters raise on damage; the package's stubs call the class an instance."""

# Level of the method → library and its level. A level's promise is zlib's ratio at that level.
# EPYC with AVX-512, one core, 512 KiB packets, 4 MiB of each file of the Silesia subset, stream
# with sync flushes; MB/s and ratio, stdlib zlib 1.2.13 → the choice here:
#   0   946 1.000 →  2703 1.000      5  45 3.244 → 94 3.278
#   1   139 2.867 →   626 2.919      6  25 3.312 → 69 3.304
#   2   103 2.966 →   231 2.972      7  19 3.331 → 45 3.336
#   3    66 3.079 →   134 3.126      8  12 3.349 → 34 3.348
#   4    59 3.143 →   103 3.214      9  12 3.351 → 28 3.354
# ISA-L 2 at level 1 takes 1 % more time than ISA-L 1, both ways together, and is 2.6 % smaller. At
# level 2 it would be 7.0 % larger than zlib on xml; zlib-ng 1 at level 1 loses 20 % in total.
_ISA_L: Final = {1: 2, 2: 3}

# FLEVEL, the second header byte, is a remark without effect; zlib's own value for each level.
_HEADER_FLAGS: Final = bytes.fromhex("01 01 5e 5e 5e 5e 9c da da da")

HEADER: Final = bytes((0x78, _HEADER_FLAGS[1]))
"""Begins the stream of a channel whose level changes from packet to packet."""


class ZlibEncoder:
    """The channel's deflate stream; ISA-L for the fast levels, zlib-ng for the others."""

    def __init__(self, level: int) -> None:
        """:param level: 0-9, zlib's meaning."""
        self._header = bytes((0x78, _HEADER_FLAGS[level]))
        # A raw stream under a header of our own: the Adler-32 would never be sent.
        self._stream, self.backend = _deflating(level, alone=False)

    def encode(self, pages: memoryview) -> list[Buffer]:
        """Deflate ``pages`` and flush; incompressible pages grow by less than 0.1 %."""
        header, self._header = self._header, b""
        parts = (header, *self._stream.packet(pages))
        return [part for part in parts if part]


class ZlibPacketEncoder:
    """Deflates each call's pages into blocks that refer to nothing before them, and flushes.

    Behind ``HEADER``, packets of several such encoders make one stream, whatever their levels and
    their order. ISA-L's level is set when its stream begins, and what Python has of zlib-ng sets
    none later: so each level has an encoder of its own, and gives up the 32 KiB that an encoder of
    all packets could refer to.
    """

    def __init__(self, level: int) -> None:
        """:param level: 0-9, zlib's meaning."""
        self._stream, self.backend = _deflating(level, alone=True)

    def encode(self, pages: memoryview) -> list[Buffer]:
        """As ``ZlibEncoder``, without the header."""
        return [part for part in self._stream.packet(pages) if part]


def _deflating(level: int, *, alone: bool) -> tuple[_IsalStream | _ZlibNgStream, str]:
    """What deflates at a level, and its name.

    :param alone: whether a packet refers to nothing before it.
    """
    if level in _ISA_L:
        return _IsalStream(_ISA_L[level], alone=alone), "isa-l"
    return _ZlibNgStream(level, alone=alone), "zlib-ng"


class _IsalStream:
    """One call a packet, into memory of its own."""

    def __init__(self, level: int, *, alone: bool) -> None:
        deflate = isal.Deflate(level)
        self._packet = deflate.packet_alone if alone else deflate.packet
        self._out = memoryview(bytearray(bound(PACKET_BYTES)))

    def packet(self, pages: memoryview) -> list[Buffer]:
        return [self._out[: self._packet(pages, self._out)]]


class _ZlibNgStream:
    def __init__(self, level: int, *, alone: bool) -> None:
        self._stream = zlib_ng.compressobj(level, zlib_ng.DEFLATED, _RAW_DEFLATE)
        # a full flush ends as a sync flush does, and forgets what came before
        self._flush = zlib_ng.Z_FULL_FLUSH if alone else zlib_ng.Z_SYNC_FLUSH

    def packet(self, pages: memoryview) -> list[Buffer]:
        return [self._stream.compress(pages), self._stream.flush(self._flush)]


class ZlibDecoder:
    """The channel's inflate stream.

    ISA-L's streaming inflater, whole packets, into the caller's buffer: 763 MB/s, where zlib-ng
    does 618 and stdlib zlib 349 (machine and data as above; in pieces of 16-128 KiB ISA-L does
    590-709).
    """

    backend = "isa-l"
    verbatim = False

    def __init__(self) -> None:
        self._stream = isal.Inflate()
        self._begun = False

    def max_payload(self, pages: int) -> int:  # noqa: ARG002
        """``MAX_PAYLOAD``, however many pages."""
        return MAX_PAYLOAD

    def decode(self, payload: memoryview, out: memoryview) -> None:
        """Inflate the next packet of the stream into ``out``.

        At most one byte more than ``out`` holds is inflated. Deflate has no integrity of its own
        and the stream's Adler-32 is never sent, so damage may also pass as other page content.

        :raise CorruptDataError: not a zlib header, not deflate data, no sync flush at the end, a
            finished stream, or another size than ``out``.
        """
        tail = bytes(payload[-len(SYNC_MARK) :])
        if tail != SYNC_MARK:
            raise CorruptDataError(
                "a zlib payload that ends with a sync flush, 00 00 ff ff",
                f"{tail.hex(' ') or 'nothing'} at its end",
            )
        if not self._begun:
            payload = _behind_header(payload)
            self._begun = True
        try:
            filled, left, finished = self._stream.packet(payload, out)
        except ValueError as error:
            raise CorruptDataError("deflate data", f"damaged data ({error})") from error
        if finished:
            raise CorruptDataError("a zlib stream that goes on", "its last block")
        if filled != len(out) or left:
            more = "or more " if filled > len(out) or left else ""
            raise CorruptDataError(f"{len(out)} bytes after inflating", f"{filled} {more}bytes")


def _behind_header(payload: memoryview) -> memoryview:
    """Check the two bytes in front of a zlib stream (RFC 1950, 2.2), and pass over them."""
    method, flags = payload[0], payload[1]
    window_too_large = method >> 4 > _MOST_WINDOW
    if method & 0x0F != _DEFLATED or window_too_large or (method << 8 | flags) % 31:
        raise CorruptDataError("a zlib header", f"damaged data ({method:02x} {flags:02x})")
    if flags & _DICTIONARY:
        raise CorruptDataError("a zlib stream without a preset dictionary", "one that needs it")
    return payload[2:]

"""The software backend: ISA-L at levels 1 to 3, libdeflate above, zlib for less than 64 bytes.

Every compressor here turns one member's input into parts (deflate data, then the trailer that the
format wants) in one or two calls that release the GIL.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

import deflate
from isal import igzip_lib, isal_zlib

from ramferry.errors import CorruptDataError
from ramferry.qatzip import exact, framing
from ramferry.qatzip.base import GZIP_FORMATS, MEMBER_FORMATS
from ramferry.qatzip.inflate import BACKEND as INFLATE_BACKEND
from ramferry.qatzip.inflate import Inflater
from ramferry.qatzip.source import Source
from ramferry.vocabulary import FOUR_BYTE, GZIP, GZIP_EXT, RAW, ZLIB, Buffer

ISAL, LIBDEFLATE, STDLIB = INFLATE_BACKEND, "libdeflate", "zlib"

ISAL_LEVELS = range(1, 4)
"""Levels that ISA-L serves, as its own 1 to 3: a migration at level 1 wants speed (64 KiB members
of the Silesia subset, one core of an AMD EPYC: ISA-L 1 560 MB/s at 3.36:1, libdeflate 1 290 MB/s
at 3.53:1, libdeflate 2 190 MB/s at 3.62:1). Compare what ISA-L wrote by its content only: 4 of 17
runs of two threads over the same 5,001 members differed in some bytes, as valid as the others."""

LIBDEFLATE_LEVELS = {4: 4, 5: 5, 6: 7, 7: 7, 8: 8, 9: 9}
"""QATzip level → libdeflate level: the lowest that is smaller than libqatzip's software path on
each of the seven Silesia files, at 64 KiB, 512 KiB and 1 MiB (libdeflate 6 loses reymont at 6)."""

SMALL = 64
"""Inputs below this go to zlib: libdeflate stores them ("A" in 6 bytes, where zlib takes 3)."""

_ISAL_FLAGS = {
    GZIP_EXT: igzip_lib.COMP_GZIP_NO_HDR,
    GZIP: igzip_lib.COMP_GZIP_NO_HDR,
    RAW: igzip_lib.COMP_DEFLATE,
    FOUR_BYTE: igzip_lib.COMP_DEFLATE,
    ZLIB: igzip_lib.COMP_ZLIB_NO_HDR,
}
"""What ISA-L writes behind the deflate data, in the same pass: each format's own trailer."""

Body = tuple[Buffer, ...]
"""A member without its header: deflate data and trailer, in one part or two."""


class SoftwareBackend:
    """Compresses and decompresses on this host's CPU; a :class:`base.Backend`.

    It keeps no memory between calls, because keeping some gains nothing: a compressor that owned
    its state and output buffer took the same 115 µs per 64 KiB member at level 1, and 0.02 page
    faults a call say that the heap serves the same blocks again (8,000 members, threads alike).
    """

    accelerated = False
    shares: Mapping[str, int] = MappingProxyType({})
    trouble = ""

    def __init__(self, level: int, format: str, member_size: int) -> None:
        """Serve one of FORMATS at one of LEVELS; raw and zlib, one stream each, ignore the size."""
        self._format = format
        self._member_size = member_size if format in MEMBER_FORMATS else 0
        self._compress = _compressor(level, format)
        self._compress_small = _zlib_compressor(level, format)
        self._used: dict[str, None] = {}
        self.name = ISAL if level in ISAL_LEVELS else LIBDEFLATE

    @property
    def used(self) -> str:
        """Every engine that ran in the latest call, in the order of its first use."""
        return " + ".join(self._used)

    def buffer(self, size: int) -> memoryview:
        """Plain memory."""
        return memoryview(bytearray(size))

    def compress_parts(self, data: memoryview) -> list[Buffer]:
        """See :meth:`base.Backend.compress_parts`."""
        self._used = {}
        parts: list[Buffer] = []
        step = self._member_size or len(data) or 1
        for start in range(0, len(data) or 1, step):
            member = data[start : start + step]
            body = self._body(member)
            parts += _head(self._format, len(member), body)
            parts += body
        return parts

    def _body(self, member: memoryview) -> Body:
        small = len(member) < SMALL
        self._used[STDLIB if small else self.name] = None
        return self._compress_small(member) if small else self._compress(member)

    def decompress(self, data: memoryview, max_size: int) -> bytearray:
        """See :meth:`base.Backend.decompress`."""
        self._used = {INFLATE_BACKEND: None}
        out = bytearray()
        for piece in Inflater(Source(data), self._format, max_size, padded=True).chunks():
            out += piece
        return out

    def decompress_into(self, payload: memoryview, out: memoryview) -> None:
        """See :meth:`base.Backend.decompress_into`."""
        self._used = {INFLATE_BACKEND: None}
        if self._format in GZIP_FORMATS and exact.inflate_exact(payload, out):
            return
        inflater = Inflater(Source(payload), self._format, len(out))
        for piece in inflater.chunks():
            out[inflater.produced - len(piece) : inflater.produced] = piece
        if inflater.produced != len(out):
            raise CorruptDataError(f"{len(out)} bytes to come out", f"{inflater.produced}")


def _head(format: str, src: int, body: Body) -> Body:
    """Write the header for a body that was made of ``src`` bytes: one part, none for raw."""
    if format == GZIP_EXT:
        dest = sum(map(len, body)) - framing.GZIP_TRAILER.size
        return (framing.GZIP_EXT_HEAD.pack(framing.GZIP_EXT_MAGIC, src, dest),)
    if format == FOUR_BYTE:
        return (framing.FOUR_BYTE_HEAD.pack(sum(map(len, body))),)
    return {GZIP: (framing.GZIP_HEAD,), ZLIB: (framing.ZLIB_HEAD,), RAW: ()}[format]


def _trailer(format: str, member: memoryview) -> Body:
    """Write the trailer of a member: one part, none for raw and 4B."""
    if format in GZIP_FORMATS:
        return (framing.GZIP_TRAILER.pack(isal_zlib.crc32(member), len(member) & 0xFFFFFFFF),)
    if format == ZLIB:
        return (framing.ZLIB_TRAILER.pack(isal_zlib.adler32(member)),)
    return ()


def _compressor(level: int, format: str) -> Callable[[memoryview], Body]:
    """Choose what compresses a member of at least SMALL bytes: its body in ``format``."""
    if level in ISAL_LEVELS:
        flags = _ISAL_FLAGS[format]
        return lambda member: (igzip_lib.compress(member, level, flags),)
    mapped = LIBDEFLATE_LEVELS[level]
    return lambda member: (deflate.deflate_compress(member, mapped), *_trailer(format, member))


def _zlib_compressor(level: int, format: str) -> Callable[[memoryview], Body]:
    """Choose what compresses a member below SMALL bytes: its body in ``format``."""
    return lambda member: (zlib.compress(member, level, -zlib.MAX_WBITS), *_trailer(format, member))

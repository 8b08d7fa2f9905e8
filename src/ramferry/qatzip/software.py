"""The software backend: ISA-L at levels 1 to 3, libdeflate above, zlib for less than 64 bytes.

Members are written side by side into memory of the backend's own: each by one call without the GIL
(libdeflate leaves the trailer to another one), and none of it is allocated, grown or copied again.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType

from isal import isal_zlib

from ramferry.errors import CorruptDataError
from ramferry.native import isal, libdeflate
from ramferry.native.memory import bound
from ramferry.qatzip import framing
from ramferry.qatzip.base import GZIP_FORMATS, ISAL, LIBDEFLATE, MEMBER_FORMATS, STDLIB
from ramferry.qatzip.exact import ExactInflater
from ramferry.qatzip.inflate import Inflater
from ramferry.qatzip.source import Source
from ramferry.vocabulary import FOUR_BYTE, GZIP, GZIP_EXT, RAW, ZLIB, Buffer

ISAL_LEVELS = {1: (2, 64 * 1024), 2: (3, 64 * 1024), 3: (3, 16 * 1024)}
"""QATzip level → ISA-L's level and its tokens a block. One core of an AMD EPYC with AVX-512, 56 MiB
of the Silesia subset, MB/s and ratio::

                           members of 64 KiB   of 512 KiB   their inflating
    ISA-L 1, 64 Ki tokens       588  2.757     652  2.827        926
    ISA-L 2, 64 Ki tokens       565  2.810     618  2.900       1030
    ISA-L 3, 64 Ki tokens       394  2.854     421  2.949       1010
    ISA-L 3, 16 Ki tokens       391  2.854     412  2.966
    libdeflate 1                272  2.889     268  3.010
    libdeflate 4                169  3.025     164  3.173       1146
    zlib-ng 2                   191  2.843     197  2.954
    zstd 1, for comparison                     500  3.069       1833
    zstd 3, for comparison                     301  3.382       1608

ISA-L 2 takes 4 % longer than ISA-L 1, as much as it spares the inflating end, and is 2 to 3 %
smaller. No deflate comes near zstd at equal ratio. Compare what ISA-L wrote by its content only: 4
of 17 runs of two threads over the same 5,001 members differed in some bytes, as valid as the
others."""

LIBDEFLATE_LEVELS = {4: 4, 5: 5, 6: 7, 7: 7, 8: 8, 9: 9}
"""QATzip level → libdeflate level: the lowest that is smaller than libqatzip's software path on
each of the seven Silesia files, at 64 KiB, 512 KiB and 1 MiB (libdeflate 6 loses reymont at 6)."""

SMALL = 64
"""Inputs below this go to zlib: libdeflate stores them ("A" in 6 bytes, where zlib takes 3)."""

_TRAILERS = {
    GZIP_EXT: isal.GZIP_TRAILER,
    GZIP: isal.GZIP_TRAILER,
    RAW: isal.DEFLATE,
    FOUR_BYTE: isal.DEFLATE,
    ZLIB: isal.ZLIB_TRAILER,
}
"""What ISA-L writes behind the deflate data, in the same pass: each format's own trailer."""

_HEADS = {
    GZIP_EXT: framing.GZIP_EXT_HEAD.size,
    FOUR_BYTE: framing.FOUR_BYTE_HEAD.size,
    GZIP: len(framing.GZIP_HEAD),
    ZLIB: len(framing.ZLIB_HEAD),
    RAW: 0,
}
"""Bytes of each format's header."""

Body = Callable[[memoryview, memoryview], int]
"""Writes the deflate data and trailer of its first argument into its second; returns their size."""


class SoftwareBackend:
    """Compresses and decompresses on this host's CPU; a :class:`base.Backend`.

    It keeps the memory of its output from call to call. ISA-L's Python package allocates it for
    each member, grows it and copies it with the GIL held, which slows many threads, though not one.
    """

    accelerated = False
    shares: Mapping[str, int] = MappingProxyType({})
    trouble = ""

    def __init__(self, level: int, format: str, member_size: int) -> None:
        """Serve one of FORMATS at one of LEVELS; raw and zlib, one stream each, ignore the size."""
        self._format = format
        self._member_size = member_size if format in MEMBER_FORMATS else 0
        self._level = level
        self._exact = ExactInflater()
        self._out = _Output()
        self._used: dict[str, None] = {}
        self._inflated: dict[str, None] = {}
        self.name = ISAL if level in ISAL_LEVELS else LIBDEFLATE

    @property
    def used(self) -> str:
        """Every engine that ran in the latest call, in the order of its first use."""
        return " + ".join(self._used)

    @property
    def inflater(self) -> str:
        """See :attr:`base.Backend.inflater`."""
        return " + ".join(self._inflated) or ISAL

    def buffer(self, size: int) -> memoryview:
        """Plain memory."""
        return memoryview(bytearray(size))

    def compress_parts(self, data: memoryview) -> list[Buffer]:
        """See :meth:`base.Backend.compress_parts`; all members are one part."""
        self._used = {}
        at, out = 0, self._out
        step = self._member_size or len(data) or 1
        for start in range(0, len(data) or 1, step):
            member = data[start : start + step]
            head = at + _HEADS[self._format]
            out.reserve(at, head + bound(len(member)))
            body = self._body(member, out.view[head:])
            _write_head(self._format, out.view, at, len(member), body)
            at = head + body
        return [out.view[:at]]

    @cached_property
    def _compress(self) -> Body:
        # made when it is needed: it takes up to 2 MiB, and a session may only inflate
        return _compressor(self._level, self._format)

    @cached_property
    def _compress_small(self) -> Body:
        return _zlib_compressor(self._level, self._format)

    def _body(self, member: memoryview, out: memoryview) -> int:
        small = len(member) < SMALL
        self._used[STDLIB if small else self.name] = None
        return (self._compress_small if small else self._compress)(member, out)

    def decompress(self, data: memoryview, max_size: int) -> bytearray:
        """See :meth:`base.Backend.decompress`."""
        self._used = {ISAL: None}
        out = bytearray()
        for piece in Inflater(Source(data), self._format, max_size, padded=True).chunks():
            out += piece
        return out

    def decompress_into(self, payload: memoryview, out: memoryview) -> None:
        """See :meth:`base.Backend.decompress_into`."""
        engine = self._exact.inflate(payload, out) if self._format in GZIP_FORMATS else ""
        self._used = {engine or ISAL: None}
        self._inflated.update(self._used)
        if engine:
            return
        inflater = Inflater(Source(payload), self._format, len(out))
        for piece in inflater.chunks():
            out[inflater.produced - len(piece) : inflater.produced] = piece
        if inflater.produced != len(out):
            raise CorruptDataError(f"{len(out)} bytes to come out", f"{inflater.produced}")


class _Output:
    """Memory that grows and is used again."""

    def __init__(self) -> None:
        self.view = memoryview(b"")

    def reserve(self, used: int, size: int) -> None:
        """Have ``size`` bytes of memory, whose first ``used`` stay as they are."""
        if len(self.view) < size:
            grown = memoryview(bytearray(max(size, 2 * len(self.view))))
            grown[:used] = self.view[:used]
            self.view = grown


def _write_head(format: str, out: memoryview, at: int, src: int, body: int) -> None:
    """Write the header of a body of ``body`` bytes that was made of ``src``, in front of it."""
    if format == GZIP_EXT:
        dest = body - framing.GZIP_TRAILER.size
        framing.GZIP_EXT_HEAD.pack_into(out, at, framing.GZIP_EXT_MAGIC, src, dest)
    elif format == FOUR_BYTE:
        framing.FOUR_BYTE_HEAD.pack_into(out, at, body)
    else:
        head = {GZIP: framing.GZIP_HEAD, ZLIB: framing.ZLIB_HEAD, RAW: b""}[format]
        out[at : at + len(head)] = head


def _trailer(format: str, member: memoryview) -> bytes:
    """Make the trailer of a member; empty for raw and 4B."""
    if format in GZIP_FORMATS:
        return framing.GZIP_TRAILER.pack(isal_zlib.crc32(member), len(member) & 0xFFFFFFFF)
    if format == ZLIB:
        return framing.ZLIB_TRAILER.pack(isal_zlib.adler32(member))
    return b""


def _compressor(level: int, format: str) -> Body:
    """Choose what compresses a member of at least SMALL bytes: its body in ``format``."""
    if level in ISAL_LEVELS:
        fast, trailer = isal.Deflate(*ISAL_LEVELS[level]), _TRAILERS[format]
        return lambda member, out: fast.member(member, out, trailer)
    return _with_trailer(format, libdeflate.Deflate(LIBDEFLATE_LEVELS[level]).member)


def _zlib_compressor(level: int, format: str) -> Body:
    """Choose what compresses a member below SMALL bytes: its body in ``format``."""

    def compress(member: memoryview, out: memoryview) -> int:
        data = zlib.compress(member, level, -zlib.MAX_WBITS)
        out[: len(data)] = data
        return len(data)

    return _with_trailer(format, compress)


def _with_trailer(format: str, compress: Body) -> Body:
    """``compress``, and the trailer of ``format`` behind what it wrote."""

    def body(member: memoryview, out: memoryview) -> int:
        size = compress(member, out)
        trailer = _trailer(format, member)
        out[size : size + len(trailer)] = trailer
        return size + len(trailer)

    return body

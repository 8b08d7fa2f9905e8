"""The bytes around deflate data in QATzip's formats; every number is little-endian but Adler-32.

::

    gzip-ext   1f 8b 08 04  mtime=0 u32  xfl=0  os=ff  xlen=12 u16  "QZ"  8 u16  src u32  dest u32
               deflate (dest bytes)  CRC-32 u32  src u32
    gzip       1f 8b 08 00  mtime=0 u32  xfl=0  os=ff   deflate   CRC-32 u32   size u32
    4B         dest u32     deflate (dest bytes)
    zlib       78 9c        deflate   Adler-32 u32, big-endian
    raw        deflate

``src`` and ``dest`` are the member's input bytes and deflate bytes. Source: RFC 1950, 1951, 1952
and the header generator of libqatzip 1.3.1 (what its hardware path writes; the software path puts
4 or 2 in xfl at levels 1 and 9). A reader of gzip-ext may meet any gzip member, and in members
that libqatzip streamed src and dest are 0: they are hints, never lengths.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from ramferry.qatzip.source import Source

GZIP_EXT_HEAD = struct.Struct("<16sII")
"""A gzip-ext header: its constant bytes, src, dest."""
GZIP_EXT_MAGIC = bytes.fromhex("1f8b0804 00000000 00ff 0c00 515a 0800")
GZIP_HEAD = bytes.fromhex("1f8b0800 00000000 00ff")
GZIP_TRAILER = struct.Struct("<II")
"""CRC-32 and length, modulo 2^32, of the member's input."""
FOUR_BYTE_HEAD = struct.Struct("<I")
ZLIB_HEAD = bytes.fromhex("789c")
ZLIB_TRAILER = struct.Struct(">I")

_GZIP_MAGIC = bytes.fromhex("1f8b08")
_FHCRC, _FEXTRA, _FNAME, _FCOMMENT, _RESERVED = 0x02, 0x04, 0x08, 0x10, 0xE0
_QZ = b"QZ"
_MAX_TEXT = 65536
"""Longest file name or comment of a gzip header that is read, in bytes, its zero included."""


@dataclass(frozen=True, slots=True)
class Hint:
    """What a header says of its member; 0 is unknown, and any number may be false."""

    src: int = 0
    """Bytes that come out."""
    dest: int = 0
    """Bytes of deflate data."""


def read_gzip_head(source: Source) -> Hint:
    """Consume one gzip header with any of its optional fields.

    :raise CorruptDataError: it is no gzip header, is damaged, or is cut short.
    """
    if not begins_gzip(source):
        raise source.corrupt("a gzip header (1f 8b 08)", _hex(source.peek(3)[:3]))
    head = source.need(10, "a gzip header")
    flags = head[3]
    if flags & _RESERVED:
        raise source.corrupt("gzip flags below 20", f"{flags:02x}")
    length, hint = 10, Hint()
    if flags & _FEXTRA:
        start = length + 2
        length = start + int.from_bytes(source.need(start, "a gzip header")[10:12], "little")
        hint = _find_sizes(source, source.need(length, "a gzip header")[start:length])
    for field, name in ((_FNAME, "file name"), (_FCOMMENT, "comment")):
        if flags & field:
            length = _end_of_text(source, length, name)
    if flags & _FHCRC:
        head = source.need(length + 2, "a gzip header")
        expected = int.from_bytes(head[length : length + 2], "little")
        received = zlib.crc32(head[:length]) & 0xFFFF
        if expected != received:
            raise source.corrupt(f"header CRC {expected:04x}", f"{received:04x}")
        length += 2
    source.skip(length)
    return hint


def _end_of_text(source: Source, start: int, name: str) -> int:
    """Find the end of a zero-terminated field that begins ``start`` bytes into the header."""
    window = source.peek(start + _MAX_TEXT)
    end = bytes(window[start : start + _MAX_TEXT]).find(0)
    if end >= 0:
        return start + end + 1
    if len(window) < start + _MAX_TEXT:
        raise source.truncated("a gzip header")
    raise source.corrupt(f"a {name} of at most {_MAX_TEXT} bytes", "a longer one")


def _find_sizes(source: Source, extra: memoryview) -> Hint:
    """Find the ``QZ`` subfield among the subfields of a gzip extra field.

    Where there is one, the subfields' lengths must add up to the field's (RFC 1952, 2.3.1.1): an
    XLEN damaged so that the field swallows exactly one of several members would lose it, with every
    CRC right. A field of somebody else's may hold anything, as all other readers have it: that of a
    Helm chart is 41 letters.
    """
    at, hint, ours = 0, Hint(), False
    while at + 4 <= len(extra):
        size = int.from_bytes(extra[at + 2 : at + 4], "little")
        if extra[at : at + 2] == _QZ and not ours:
            ours = True
            if 8 <= size <= len(extra) - at - 4:
                hint = Hint(*GZIP_TRAILER.unpack_from(extra, at + 4))
        at += 4 + size
    if ours and at != len(extra):
        raise source.corrupt(
            f"subfields that fill the extra field of {len(extra)} bytes",
            f"{at} bytes of them" if at > len(extra) else f"{len(extra) - at} bytes left over",
        )
    return hint


def read_zlib_head(source: Source) -> Hint:
    """Consume one zlib header.

    :raise CorruptDataError: it is no zlib header, wants a dictionary, or is cut short.
    """
    head = source.need(2, "a zlib header")
    if not begins_zlib(source):
        raise source.corrupt("a zlib header", _hex(head[:2]))
    if head[1] & 0x20:
        raise source.corrupt("a zlib stream without a preset dictionary", "one that needs it")
    source.skip(2)
    return Hint()


def read_four_byte_head(source: Source) -> Hint:
    """Consume the length in front of a 4B block.

    :raise CorruptDataError: it is 0 or is cut short.
    """
    (dest,) = FOUR_BYTE_HEAD.unpack_from(source.need(4, "a 4B header"))
    if dest == 0:
        raise source.corrupt("the length of a 4B block", "0")
    source.skip(4)
    return Hint(dest=dest)


def check_gzip_trailer(source: Source, crc: int, size: int) -> None:
    """Consume a gzip trailer and compare it with what came out of its member.

    :raise CorruptDataError: CRC or length differ, or it is cut short.
    """
    stored = GZIP_TRAILER.unpack_from(source.need(GZIP_TRAILER.size, "CRC and length"))
    _check_sum(source, "CRC", stored[0], crc)
    if stored[1] != size & 0xFFFFFFFF:
        raise source.corrupt(f"{stored[1]} bytes to come out", f"{size & 0xFFFFFFFF}")
    source.skip(GZIP_TRAILER.size)


def check_zlib_trailer(source: Source, adler: int) -> None:
    """Consume a zlib trailer and compare it with what came out of its stream.

    :raise CorruptDataError: Adler-32 differs, or it is cut short.
    """
    (stored,) = ZLIB_TRAILER.unpack_from(source.need(ZLIB_TRAILER.size, "Adler-32"))
    _check_sum(source, "Adler-32", stored, adler)
    source.skip(ZLIB_TRAILER.size)


def _check_sum(source: Source, name: str, expected: int, received: int) -> None:
    if expected != received:
        raise source.corrupt(f"{name} {expected:08x}", f"data whose {name} is {received:08x}")


def begins_gzip(source: Source) -> bool:
    """Whether what comes next begins as a gzip header does, as far as it is there."""
    head = source.peek(3)[:3]
    return head == _GZIP_MAGIC[: len(head)]


def begins_zlib(source: Source) -> bool:
    """Whether what comes next begins as a zlib header does, as far as it is there."""
    head = source.peek(2)
    return head[0] & 0x8F == 8 and (len(head) < 2 or (head[0] << 8 | head[1]) % 31 == 0)


def _hex(data: memoryview) -> str:
    return data.hex(" ") or "nothing"

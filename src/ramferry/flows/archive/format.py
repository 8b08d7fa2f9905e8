"""The file of a saved VM state: its layout, and the records that are packed into it.

Little-endian throughout::

    file      = opening chunk* part* directory footer
    opening   = "RAMFERRY" u32 version, u32 0                                        16 bytes
    chunk     = one packet's pages, compressed so that nothing else is needed to inflate them
    part      = bytes that the directory names: main's head, between and tail; the chunk table;
                page numbers as zlib data; which of them are the newest copies; zero pages
    directory = JSON: the guest, the method, and offset, size and CRC-32 of every part
    footer    = "RAMFERRY" u64 offset, u32 size, u32 CRC-32 of the directory,
                u64 size of the file, u32 CRC-32 of the footer so far                 36 bytes

A CRC-32 covers every byte except the opening, which is compared. It finds every change of up to 32
bits in a row, and misses one in 4·10^9 of all others. A file that was cut has no footer.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import numpy as np
from isal import isal_zlib
from msgspec import Meta
from numpy.typing import NDArray

from ramferry.codec import find_method
from ramferry.codec.zlib import INFLATE_ERROR
from ramferry.errors import CorruptDataError, RemoteProtocolError, UsageError
from ramferry.flows.contracts import check_ram
from ramferry.standard import shown
from ramferry.typed import decode
from ramferry.vocabulary import MAX_DEFLATE_RATIO
from ramferry.wire.configuration import PAGE_BITS
from ramferry.wire.grammar import MAX_BLOCKS, MAX_MACHINE_NAME, MAX_NAME
from ramferry.wire.ram import Mode

MAGIC: Final = b"RAMFERRY"
VERSION: Final = 2
OPENING: Final = struct.pack("<8sII", MAGIC, VERSION, 0)
_FOOTER: Final = struct.Struct("<8sQIIQ")
FOOTER_SIZE: Final = _FOOTER.size + 4
MAX_DIRECTORY: Final = 16 * 1024 * 1024
"""Ramferry's own limit: some hundred bytes for each RAM block."""

CHUNK: Final = np.dtype(
    [("offset", "<u8"), ("size", "<u4"), ("crc", "<u4"), ("block", "<u2"), ("pages", "<u2")]
)
"""A row of the chunk table: where the payload is, and how many pages of which block it holds."""
PAGE_NUMBER: Final = np.dtype("<u4")
"""Offset in its block over page size."""


MAX_CREATED: Final = 1e11
"""Seconds since 1970: the year 5138, which every calendar can show."""
PARTS: Final = ("head", "between", "tail", "chunks", "pages", "newest", "zero")
"""Names of the parts."""

_Size = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""A size or offset; the sum of two of them is below 2^64."""
_U32 = Annotated[int, Meta(ge=0, le=(1 << 32) - 1)]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Offset, size and CRC-32 of a part of the file."""

    offset: _Size
    size: _Size
    crc: _U32


class Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A RAM block."""

    name: Annotated[str, Meta(min_length=1)]
    size: _Size
    """Bytes."""


class Directory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file's directory; the types of its fields are checked when it is read.

    ``unpack_directory`` also checks that the fields agree with each other.
    """

    # a name's bytes that are no text are four characters each here
    machine: Annotated[str, Meta(max_length=4 * MAX_MACHINE_NAME)]
    page_size: int
    mode: Mode
    """Which record is the sync mark on main: "section" or "round"."""
    uuid: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    """Hexadecimal."""
    method: str
    level: int | None
    backend: str
    created: Annotated[float, Meta(ge=0, le=MAX_CREATED)]
    """Seconds since 1970."""
    ram_section: _U32
    blocks: Annotated[tuple[Block, ...], Meta(max_length=MAX_BLOCKS)]
    parts: dict[str, Part]
    """One for each name in ``PARTS``."""


def pack_numbers(numbers: Sequence[NDArray[np.uint32]]) -> bytes:
    """Page numbers of all chunks as the differences from one to the next, which compress.

    A guest that was saved while it stood still has chunks of ascending pages: for 2 GiB of them the
    numbers take 2 kB in this form, and 2 MiB without it.
    """
    flat = np.concatenate([np.zeros(1, PAGE_NUMBER), *numbers])
    return bytes(isal_zlib.compress(np.diff(flat).astype(PAGE_NUMBER)))


def unpack_numbers(raw: bytes, count: int) -> NDArray[np.uint32]:
    """What ``pack_numbers`` packed.

    :raise CorruptDataError: they are not ``count`` numbers.
    """
    if count * PAGE_NUMBER.itemsize > MAX_DEFLATE_RATIO * len(raw):
        raise CorruptDataError(f"{count} page numbers", f"{len(raw)} bytes, which hold fewer")
    try:
        stream = isal_zlib.decompressobj()
        differences = stream.decompress(raw, count * PAGE_NUMBER.itemsize + 1)
    except INFLATE_ERROR as error:
        raise CorruptDataError("page numbers", f"damaged data ({error})") from None
    if not stream.eof or len(differences) != count * PAGE_NUMBER.itemsize:
        raise CorruptDataError(f"{count} page numbers", "others")
    return np.cumsum(np.frombuffer(differences, PAGE_NUMBER), dtype=PAGE_NUMBER)


def crc32(data: bytes | bytearray | memoryview, start: int = 0) -> int:
    """CRC-32 as in gzip."""
    return int(isal_zlib.crc32(data, start))


def pack_directory(directory: Directory) -> bytes:
    """The directory's bytes."""
    return msgspec.json.encode(directory)


def unpack_directory(raw: bytes) -> Directory:
    """Read a directory whose CRC is right, and check its content, which may still be anything.

    :raise CorruptDataError: it is not a directory of this version, or describes a guest that cannot
        be.
    """
    try:
        directory = decode(raw, Directory)
        find_method(directory.method).level(directory.level)
    except (ValueError, RecursionError, UsageError) as error:
        raise _no_directory(str(error)) from None
    if directory.parts.keys() != set(PARTS):
        raise _no_directory(f"its parts are {', '.join(sorted(directory.parts)) or 'none'}")
    _check_ram(directory)
    return directory


def _no_directory(why: str) -> CorruptDataError:
    # it may quote a field's name
    return CorruptDataError("a directory of a save file", f"another ({shown(why)})")


def _check_ram(directory: Directory) -> None:
    page, sizes = directory.page_size, [block.size for block in directory.blocks]
    if page.bit_count() != 1 or page.bit_length() - 1 not in PAGE_BITS:
        raise CorruptDataError("a page size of 1 to 64 KiB, a power of two", f"{page} bytes")
    try:
        check_ram(sizes, page)
    except RemoteProtocolError as error:
        raise CorruptDataError(error.expected, error.received) from None
    if any(size % page for size in sizes):
        raise CorruptDataError(f"RAM blocks of whole {page}-byte pages", "others")
    names = [block.name.encode() for block in directory.blocks]
    if len(set(names)) < len(names) or max(map(len, names), default=0) > MAX_NAME:
        raise CorruptDataError(f"RAM blocks of different names of up to {MAX_NAME} bytes", "others")


def pack_footer(offset: int, directory: bytes) -> bytes:
    """The file's last bytes, for a directory at ``offset``."""
    size = offset + len(directory) + FOOTER_SIZE
    start = _FOOTER.pack(MAGIC, offset, len(directory), crc32(directory), size)
    return start + struct.pack("<I", crc32(start))


def unpack_footer(raw: bytes, file_size: int) -> Part:
    """Read the file's last bytes; returns where the directory is.

    :raise CorruptDataError: the file was cut, or its end is damaged.
    """
    magic, offset, size, crc, total = _FOOTER.unpack_from(raw)
    own = struct.unpack_from("<I", raw, _FOOTER.size)[0]
    if magic != MAGIC or own != crc32(raw[: _FOOTER.size]):
        raise CorruptDataError("a save file's footer", "other bytes: the file was cut or damaged")
    if total != file_size or offset + size + FOOTER_SIZE != total or size > MAX_DIRECTORY:
        raise CorruptDataError(f"a file of {total} bytes", f"{file_size} bytes")
    return Part(offset, size, crc)

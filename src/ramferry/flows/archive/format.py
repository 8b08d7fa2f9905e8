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

Every byte lies under a CRC-32 (the opening under its own value): one finds each change of up to 32
bits in a row for certain, and any other but for one in 4·10^9. A file that was cut has no footer.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from ramferry.codec.zlib import INFLATE_ERROR
from ramferry.errors import CorruptDataError

MAGIC: Final = b"RAMFERRY"
VERSION: Final = 2
OPENING: Final = struct.pack("<8sII", MAGIC, VERSION, 0)
_FOOTER: Final = struct.Struct("<8sQIIQ")
FOOTER_SIZE: Final = _FOOTER.size + 4
MAX_DIRECTORY: Final = 16 * 1024 * 1024
"""Bound of ours: some hundred bytes for each RAM block."""

CHUNK: Final = np.dtype(
    [("offset", "<u8"), ("size", "<u4"), ("crc", "<u4"), ("block", "<u2"), ("pages", "<u2")]
)
"""A row of the chunk table: where the payload is, and how many pages of which block it holds."""
PAGE_NUMBER: Final = np.dtype("<u4")
"""Offset in its block over page size."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where a part lies."""

    offset: int
    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class Block:
    """A RAM block."""

    name: str
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Directory:
    """All that is known about the file, but for the pages."""

    machine: str
    page_size: int
    mode: str
    """Which record is the sync mark on main: "section" or "round"."""
    uuid: str
    """Hexadecimal."""
    method: str
    level: int | None
    backend: str
    created: float
    """Seconds since 1970."""
    ram_section: int
    blocks: tuple[Block, ...]
    parts: dict[str, Part] = field(default_factory=dict)
    """"head", "between", "tail", "chunks", "pages", "newest", "zero"."""


def pack_numbers(numbers: Sequence[NDArray[np.uint32]]) -> bytes:
    """Page numbers of all chunks as the differences from one to the next, which compress.

    A guest that was saved while it stood still has chunks of ascending pages: 2 GiB of them take
    2 kB so, and 2 MiB as they are.
    """
    flat = np.concatenate([np.zeros(1, PAGE_NUMBER), *numbers])
    return bytes(isal_zlib.compress(np.diff(flat).astype(PAGE_NUMBER)))


def unpack_numbers(raw: bytes, count: int) -> NDArray[np.uint32]:
    """What ``pack_numbers`` packed.

    :raise CorruptDataError: they are not ``count`` numbers.
    """
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
    return json.dumps(asdict(directory), separators=(",", ":")).encode()


def unpack_directory(raw: bytes) -> Directory:
    """Read a directory whose CRC was right.

    :raise CorruptDataError: it is none of this version.
    """
    try:
        values: dict[str, Any] = json.loads(raw)
        blocks = tuple(Block(**block) for block in values.pop("blocks"))
        parts = {name: Part(**part) for name, part in values.pop("parts").items()}
        return Directory(**values, blocks=blocks, parts=parts)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptDataError("a directory of a save file", repr(error)) from None


def pack_footer(offset: int, directory: bytes) -> bytes:
    """The file's last bytes, for a directory at ``offset``."""
    size = offset + len(directory) + FOOTER_SIZE
    start = _FOOTER.pack(MAGIC, offset, len(directory), crc32(directory), size)
    return start + struct.pack("<I", crc32(start))


def unpack_footer(raw: bytes, file_size: int) -> Part:
    """Where the directory is.

    :raise CorruptDataError: the file was cut, or its end is damaged.
    """
    magic, offset, size, crc, total = _FOOTER.unpack_from(raw)
    own = struct.unpack_from("<I", raw, _FOOTER.size)[0]
    if magic != MAGIC or own != crc32(raw[: _FOOTER.size]):
        raise CorruptDataError("a save file's footer", "other bytes: the file was cut or damaged")
    if total != file_size or offset + size + FOOTER_SIZE != total or size > MAX_DIRECTORY:
        raise CorruptDataError(f"a file of {total} bytes", f"{file_size} bytes")
    return Part(offset, size, crc)

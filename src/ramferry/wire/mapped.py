"""The RAM blocks of a mapped-ram file, in which every page has a place of its own.

Behind a block's entry in the block list, numbers big-endian but for the bitmap's words::

    u32 version = 1, u64 page size, u64 offset of the bitmap, u64 offset of the pages
    bitmap    a bit for each page that is there, in little-endian words of 64
    pages     at a multiple of 1 MiB; what has no bit is a page of zeros

The next entry follows behind the block's last page. Offsets are the file's. Source: QEMU's
docs/devel/migration/mapped-ram.rst, and files of QEMU 10.0.
"""

from __future__ import annotations

import struct
from typing import Final

from ramferry.wire.events import BlockEntry, MappedBlock
from ramferry.wire.source import ByteSource, Parse

_HEADER: Final = struct.Struct(">IQQQ")
_VERSION: Final = 1
_WORD: Final = 64
"""Bits of the bitmap's words."""
_PIECE: Final = 64 * 1024
"""Bytes of the bitmap that are counted at once."""


def read_mapped_block(source: ByteSource, block: BlockEntry, base: int) -> Parse[MappedBlock]:
    """Pass over a block's bitmap and pages, and count the pages that the bitmap names.

    :param base: offset in the file of the stream's first byte.
    :raise RemoteProtocolError: the header is invalid, or the bitmap names pages beyond the block.
    """
    start = source.offset
    header = yield from source.take(_HEADER.size)
    version, page_size, bitmap_at, pages_at = _HEADER.unpack(header)
    if version != _VERSION or page_size != block.page_size:
        source.fail(
            f"a mapped-ram header of version {_VERSION} and pages of {block.page_size} bytes",
            f"version {version}, {page_size} bytes",
        )
    yield from _go_to(source, bitmap_at - base, "bitmap")
    pages = block.used_length // block.page_size
    left, present = -(-pages // _WORD) * _WORD // 8, 0
    while left:
        piece = yield from source.take(min(left, _PIECE))
        present += int.from_bytes(piece, "big").bit_count()
        left -= len(piece)
    if present > pages:
        source.fail(f"a bitmap of {pages} pages", f"one with {present} bits set")
    yield from _go_to(source, pages_at - base, "pages")
    yield from source.skip(block.used_length)
    return MappedBlock(start, source.offset, block.name, present)


def _go_to(source: ByteSource, offset: int, what: str) -> Parse[None]:
    if offset < source.offset:
        source.fail(f"the {what} behind the header", f"an offset of {offset}")
    yield from source.skip(offset - source.offset)

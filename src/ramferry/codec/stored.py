"""Pages as they are, in the form of a method that compresses.

Whoever moves the level of a stream of one method sends so what compressing gains nothing for:
nothing is compressed and nothing is copied, and whoever inflates it has hardly more to do than to
copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from isal import isal_zlib

from ramferry.codec.zlib import SYNC_MARK
from ramferry.codec.zstd_frame import raw_frame
from ramferry.errors import UsageError
from ramferry.qatzip.framing import GZIP_EXT_HEAD, GZIP_EXT_MAGIC, GZIP_TRAILER
from ramferry.vocabulary import MEMBER_SIZE, ONE_MEMBER, PACKET_BYTES, Buffer

_BLOCK_BYTES: Final = 0xFFFF
"""The most that a stored block of deflate may hold (RFC 1951 §3.2.4)."""


def stored(method: str, pages: memoryview, members: str) -> list[Buffer]:
    """A packet's payload that holds ``pages``, which are not copied.

    :param method: ``zstd``: a frame. ``zlib``: blocks up to a sync flush, without the stream's
        header. ``qatzip``: gzip members.
    :param pages: one packet's, of format ``B``.
    :param members: one of ``vocabulary.MEMBER_SIZES``, for ``qatzip``; ``auto`` is 64K.
    :raise UsageError: the method has no such form.
    """
    if method == "zstd":
        return raw_frame(pages)
    if method == "zlib":
        return [*_blocks(pages, ends=False), b"\0" + SYNC_MARK]
    if method == "qatzip":
        size = PACKET_BYTES if members == ONE_MEMBER else MEMBER_SIZE
        starts = range(0, len(pages), size)
        return [part for at in starts for part in _member(pages[at : at + size])]
    raise UsageError(f"method {method} has no form for pages that are stored")


def _member(data: memoryview) -> Iterator[Buffer]:
    blocks = list(_blocks(data, ends=True))
    size = len(data)
    yield GZIP_EXT_HEAD.pack(GZIP_EXT_MAGIC, size, sum(map(len, blocks)))
    yield from blocks
    yield GZIP_TRAILER.pack(isal_zlib.crc32(data), size)


def _blocks(data: memoryview, *, ends: bool) -> Iterator[Buffer]:
    """``data`` in stored blocks of deflate that begin at a byte's first bit.

    :param ends: whether the last one ends the stream.
    """
    for at in range(0, len(data), _BLOCK_BYTES):
        block = data[at : at + _BLOCK_BYTES]
        size = len(block)
        last = ends and at + size == len(data)
        yield bytes((last, size & 0xFF, size >> 8, ~size & 0xFF, ~size >> 8 & 0xFF))
        yield block

"""The strict reader of all five formats: member by member, every checksum and length verified.

It trusts no header: sizes are hints for buffer sizes below a fixed cap, members end where their
deflate data ends, and no more is inflated than the caller's ``max_size``. What begins like no
further member is trailing data, and an error; but for zeros up to the end behind gzip members, with
which tapes fill their blocks, where the caller lets them pass. No member at all is an empty result
in the formats that are sequences of members, as libqatzip has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

from isal import igzip_lib, isal_zlib

from ramferry.errors import CorruptDataError
from ramferry.qatzip import framing
from ramferry.qatzip.base import GZIP_FORMATS, MEMBER_FORMATS
from ramferry.qatzip.framing import Hint
from ramferry.qatzip.source import Source
from ramferry.vocabulary import FOUR_BYTE, GZIP, GZIP_EXT, RAW, ZLIB, Buffer

_ISAL_ERROR = cast("type[Exception]", igzip_lib.IsalError)

_FEED = 64 * 1024
"""Bytes handed to the inflater at once where a member's size is unknown: what remains of them
behind the member's end is copied once per member (64 KiB members: 758 MB/s, 816 with sizes)."""
_MAX_FEED = 1024 * 1024
_CHUNK = 256 * 1024
"""Bytes that come out at once where a member's size is unknown."""
_MAX_CHUNK = 1024 * 1024

_READ_HEAD: dict[str, Callable[[Source], Hint]] = {
    GZIP_EXT: framing.read_gzip_head,
    GZIP: framing.read_gzip_head,
    RAW: lambda _source: Hint(),
    FOUR_BYTE: framing.read_four_byte_head,
    ZLIB: framing.read_zlib_head,
}
_BEGINS: dict[str, Callable[[Source], bool]] = {
    GZIP_EXT: framing.begins_gzip,
    GZIP: framing.begins_gzip,
    RAW: lambda _source: False,
    FOUR_BYTE: lambda _source: True,
    ZLIB: framing.begins_zlib,
}


class Inflater:
    """Reads all members of one source; ``produced`` counts the bytes that came out so far."""

    def __init__(
        self, source: Source, format: str, max_size: int | None = None, *, padded: bool = False
    ) -> None:
        """Read ``source`` in one of the FORMATS; gzip-ext and gzip read the same data.

        :param max_size: most bytes to put out; None if the caller bounds its memory itself.
        :param padded: whether zeros may follow the last gzip member, as in a file.
        """
        self._source = source
        self._format = format
        self._max_size = max_size
        self._padded = padded and format in GZIP_FORMATS
        self.produced = 0

    def chunks(self) -> Iterator[bytes]:
        """Inflate everything, in pieces of at most 1 MiB.

        A member's last piece is verified only when the next one is asked for: no output is good
        before the iterator ended.

        :raise CorruptDataError: damage, truncation, trailing bytes, or more than ``max_size``.
        """
        while self._has_member():
            self._source.begin_member()
            hint = _READ_HEAD[self._format](self._source)
            yield from self._member(hint)

    def _has_member(self) -> bool:
        """Whether another member follows.

        :raise CorruptDataError: other bytes follow.
        """
        source = self._source
        window = source.peek(1)
        if not window:
            return source.member == 0 and self._format not in MEMBER_FORMATS
        if source.member == 0 or _BEGINS[self._format](source):
            return True
        expected = f"the end of the data after member {source.member}, at byte {source.offset}"
        first = source.peek(4)[:4].hex(" ")
        if self._padded and source.skip_zeros():
            return False
        raise CorruptDataError(expected, f"trailing bytes that begin {first}")

    def _member(self, hint: Hint) -> Iterator[bytes]:
        """Inflate one member's deflate data, then read and check its trailer."""
        before, crc, adler = self.produced, 0, 1
        for piece in self._deflate(hint):
            if self._format in GZIP_FORMATS:
                crc = isal_zlib.crc32(piece, crc)
            elif self._format == ZLIB:
                adler = isal_zlib.adler32(piece, adler)
            yield piece
        if self._format in GZIP_FORMATS:
            framing.check_gzip_trailer(self._source, crc, self.produced - before)
        elif self._format == ZLIB:
            framing.check_zlib_trailer(self._source, adler)

    def _deflate(self, hint: Hint) -> Iterator[bytes]:
        """Inflate from here to the end of the deflate data, wherever ``hint`` places it."""
        engine = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_DEFLATE)
        feed_size = min(hint.dest or _FEED, _MAX_FEED)  # for the first step only: hints may lie
        chunk_size = min(hint.src or _CHUNK, _MAX_CHUNK)
        block = hint.dest if self._format == FOUR_BYTE else None
        start = self._source.offset
        while not engine.eof:
            hungry = engine.needs_input
            left = feed_size if block is None else block - (self._source.offset - start)
            feed = self._source.peek(1)[: min(feed_size, left)] if hungry else b""
            piece = self._inflate(engine, feed, chunk_size)
            self._source.skip(len(feed))
            if piece:
                yield piece
            elif hungry and not feed and not engine.eof:
                raise self._cut_short(left)
            feed_size, chunk_size = _FEED, _CHUNK
        self._source.give_back(engine.unused_data)
        if block is not None and self._source.offset - start != block:
            found = self._source.offset - start
            raise self._source.corrupt(f"a 4B block of {block} bytes", f"one of {found} bytes")

    def _inflate(self, engine: igzip_lib.IgzipDecompressor, feed: Buffer, chunk_size: int) -> bytes:
        """Inflate at most ``chunk_size`` + 1 bytes, and never over the cap.

        The one byte more lets the inflater see the end of a member whose size was foretold.
        """
        limit = chunk_size + 1
        if self._max_size is not None:
            limit = min(limit, self._max_size - self.produced + 1)
        try:
            piece = engine.decompress(feed, limit)
        except _ISAL_ERROR as error:
            cause = str(error).split(" ", 2)[-1].removesuffix(" found").lower()
            raise self._source.corrupt("deflate data", f"an {cause}") from None
        self.produced += len(piece)
        if self._max_size is not None and self.produced > self._max_size:
            raise self._source.corrupt(f"at most {self._max_size} bytes to come out", "more")
        return piece

    def _cut_short(self, left: int) -> CorruptDataError:
        """Say why the inflater starves: the data ended, or a 4B block did."""
        if left == 0 and self._source.peek(1):
            return self._source.corrupt("the end of the deflate data within its 4B block", "more")
        return self._source.truncated("the rest of the deflate data")

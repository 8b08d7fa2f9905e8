"""Which page of the guest is where in a save file: the chunk table and what goes with it.

Nothing in it is trusted, since whoever made the file could make the CRCs as well. It is checked
that every byte of the file belongs to one part or chunk, and that the newest copy of each page is
in one place only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ramferry.codec.base import MAX_PAYLOAD
from ramferry.errors import CorruptDataError
from ramferry.flows.archive.format import CHUNK, Directory, unpack_numbers
from ramferry.flows.contracts import Offsets
from ramferry.vocabulary import PACKET_BYTES

_AT_ONCE: Final = 4096
"""Chunks whose pages are looked up at once. All of them at once took 16 bytes of memory for each
copy of a page in the file, of which one byte of a file that was made for it can hold three; 9 this
way."""

Extent = tuple[int, int]
"""Offset and size in the file, in bytes."""


class Index:
    """Chunks, their pages, and the zero pages."""

    def __init__(self, directory: Directory, raw: Mapping[str, bytes]) -> None:
        """:param raw: the parts' bytes by name.
        :raise CorruptDataError: they contradict each other or the directory.
        """
        self._page = directory.page_size
        self._pages = [block.size // directory.page_size for block in directory.blocks]
        self.chunks = _table(raw["chunks"], CHUNK)
        self._check_chunks()
        self.first = np.concatenate([[0], np.cumsum(self.chunks["pages"], dtype=np.int64)])
        """Where each chunk's pages begin in ``numbers`` and ``newest``, and, last, where they
        end."""
        self.numbers = unpack_numbers(raw["pages"], int(self.first[-1]))
        self.newest = _bits(raw["newest"], int(self.first[-1]))
        """1 for each copy of a page that no later round sent again, else 0."""
        self._zero = list(self._cut(raw["zero"]))
        self.missing = self._missing()
        """For each block, the number of pages that are neither in a chunk nor zero."""

    def _check_chunks(self) -> None:
        chunks = self.chunks
        fits = (chunks["size"] > 0) & (chunks["size"] <= MAX_PAYLOAD)
        fits &= (chunks["pages"] > 0) & (chunks["pages"] <= PACKET_BYTES // self._page)
        if not (fits & (chunks["block"] < len(self._pages))).all():
            raise CorruptDataError("chunks of one packet's pages of a known block", "others")

    def check_extents(self, others: list[Extent], size: int) -> None:
        """Check that every byte of the file belongs to one chunk or to one of ``others``.

        :raise CorruptDataError: a byte belongs to none, or to several.
        """
        known = np.array(others, np.uint64)
        starts = np.concatenate([self.chunks["offset"], known[:, 0]])
        if (starts > size).any():  # and so no sum below wraps
            raise CorruptDataError(f"chunks within the {size} bytes of the file", "others")
        ends = starts + np.concatenate([self.chunks["size"], known[:, 1]])
        order = np.lexsort((ends, starts))
        edge = np.zeros(1, np.uint64)
        begins = np.concatenate([starts[order], edge + np.uint64(size)])
        wrong = np.flatnonzero(np.concatenate([edge, ends[order]]) != begins)
        if len(wrong):
            raise CorruptDataError(
                "every byte of the file in one part or chunk",
                f"other places around byte {int(begins[wrong[0]])}",
            )

    def _cut(self, raw: bytes) -> Iterator[bytes]:
        sizes = [-(-count // 8) for count in self._pages]
        if len(raw) != sum(sizes):
            raise CorruptDataError(f"{sum(sizes)} bytes of zero pages", f"{len(raw)} bytes")
        at = 0
        for size in sizes:
            yield raw[at : at + size]
            at += size

    def _missing(self) -> list[int]:
        """Count the missing pages of each block.

        :raise CorruptDataError: a page is in two places, or outside its block.
        """
        ends = np.cumsum([0, *self._pages], dtype=np.int64)
        found = np.zeros(ends[-1], np.bool_)
        for number, (start, end) in enumerate(pairwise(ends)):
            found[start:end] = _bits(self._zero[number], end - start)
        places = int(np.count_nonzero(found)) + self.live
        for first in range(0, len(self.chunks), _AT_ONCE):
            self._find(slice(first, first + _AT_ONCE), ends, found)
        if places != np.count_nonzero(found):
            raise CorruptDataError("each page in one place", "pages that are in two")
        return [int(end - start - found[start:end].sum()) for start, end in pairwise(ends)]

    def _find(self, rows: slice, ends: NDArray[np.int64], found: NDArray[np.bool_]) -> None:
        """Mark the newest copies in some chunks.

        :param ends: where the pages of each block begin in ``found``, and, last, where they end.
        :raise CorruptDataError: a page is outside its block.
        """
        chunks, first = self.chunks[rows], self.first[rows.start : rows.stop + 1]
        place = slice(int(first[0]), int(first[-1]))
        blocks, numbers = np.repeat(chunks["block"], chunks["pages"]), self.numbers[place]
        if (numbers >= np.diff(ends)[blocks]).any():
            raise CorruptDataError("pages inside their blocks", "others")
        newest = self.newest[place] == 1
        found[ends[blocks[newest]] + numbers[newest]] = True

    @property
    def live(self) -> int:
        """Number of pages with content."""
        return int(np.count_nonzero(self.newest))

    def superseded(self, block: int) -> int:
        """Number of older copies of a block's pages, which a later round sent again."""
        of_block = np.repeat(self.chunks["block"] == block, self.chunks["pages"])
        return int(np.count_nonzero(of_block & (self.newest == 0)))

    def zero_pages(self, block: int) -> Offsets:
        """Offsets of a block's zero pages."""
        bits = _bits(self._zero[block], self._pages[block])
        return np.flatnonzero(bits).astype(np.uint64) * np.uint64(self._page)

    def wanted(self) -> list[int]:
        """The chunks with a page that has no newer copy."""
        if not len(self.chunks):
            return []
        found = np.logical_or.reduceat(self.newest, self.first[:-1])
        return [int(index) for index in np.flatnonzero(found)]

    def pages(self, chunk: int) -> tuple[Offsets, NDArray[np.bool_]]:
        """A chunk's pages: their offsets in its block, and which of them are the newest copies."""
        place = slice(int(self.first[chunk]), int(self.first[chunk + 1]))
        offsets = self.numbers[place].astype(np.uint64) * np.uint64(self._page)
        return offsets, self.newest[place].astype(bool)


def _table(raw: bytes, dtype: np.dtype) -> NDArray:  # type: ignore[type-arg]
    if len(raw) % dtype.itemsize:
        raise CorruptDataError(f"rows of {dtype.itemsize} bytes", f"{len(raw)} bytes")
    return np.frombuffer(raw, dtype)


def _bits(raw: bytes, count: int) -> NDArray[np.uint8]:
    if len(raw) != -(-count // 8):
        raise CorruptDataError(f"{count} bits", f"{len(raw)} bytes")
    return np.unpackbits(np.frombuffer(raw, np.uint8), count=count)

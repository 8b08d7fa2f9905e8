"""Gathers a piece of a stream, and packs it: pages first, then the rest, then where they lay.

``relay_stream`` has the format, and puts a piece back in order.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ramferry.vocabulary import Buffer
from ramferry.wire.relay_stream import MOST, RUN, padded

_MOST_BETWEEN: Final = 0xFFFF
"""Most bytes between two pages of a run, and most pages of one."""


class PagesAt(NamedTuple):
    """Where whole pages lie in some bytes of a stream, at equal distances."""

    start: int
    """Offset of the first page's first byte."""
    pages: int
    stride: int
    """Bytes from one page's first byte to the next one's; the page size or more."""


class Gathered:
    """A piece that is being gathered; it owns its memory, and is filled by one thread."""

    def __init__(self, page_size: int, *, packs: bool = True) -> None:
        """:param packs: False: its bytes are left in their order, and pages only counted."""
        self.page_size = page_size
        self._packs = packs
        # untouched memory costs nothing; pages go in front of one, the rest into the other
        self._packed = memoryview(bytearray(MOST))
        self._rest = memoryview(bytearray(MOST))
        self.since = 0.0
        """When the first byte came, by the clock of whoever fills it."""
        self.clear()

    def clear(self) -> None:
        """Begin another piece."""
        self.size = 0
        """Bytes of the stream."""
        self.pages = 0
        self._runs: list[list[int]] = []
        """As ``RUN`` has them."""
        self._filled = 0
        """Bytes of the rest."""
        self._behind = 0
        """Those of them that came behind the last page."""

    @property
    def runs(self) -> int:
        """Runs of pages."""
        return len(self._runs)

    @property
    def room(self) -> int:
        """Bytes of the stream that fit."""
        return MOST - self.size - len(self._runs) * RUN.size

    def add(self, data: Buffer) -> int:
        """Append bytes, as many as fit; returns how many."""
        count = min(len(data), self.room)
        _copy(self._rest[self._filled : self._filled + count], memoryview(data)[:count])
        self._filled += count
        self._behind += count
        self.size += count
        return count

    def add_pages(self, data: memoryview, at: PagesAt) -> int:
        """Append pages, as many as fit, with what lies between them; returns how many."""
        page, between = self.page_size, at.stride - self.page_size
        most = (self.room - RUN.size + between) // at.stride
        count = min(at.pages, most, 1 if between > _MOST_BETWEEN else _MOST_BETWEEN)
        if count <= 0:
            return 0
        if not self._packs:
            self.pages += count
            self.add(data[at.start : at.start + (count - 1) * at.stride + page])
            return count
        here = self.pages * page
        pages = np.frombuffer(self._packed, np.uint8, count * page, here).reshape(count, page)
        np.copyto(pages, np.ndarray((count, page), np.uint8, data, at.start, (at.stride, 1)))
        gaps = (count - 1) * between
        if gaps:
            rest = np.frombuffer(self._rest, np.uint8, gaps, self._filled)
            shape = count - 1, between
            lying = np.ndarray(shape, np.uint8, data, at.start + page, (at.stride, 1))
            np.copyto(rest.reshape(shape), lying)
        self._note_run(count, between)
        self._filled += gaps
        self.pages += count
        self.size += count * page + gaps
        return count

    def _note_run(self, count: int, between: int) -> None:
        """Add pages to the last run, if they lie as those do, else begin another one."""
        before, self._behind = self._behind, 0
        if self._runs and self._continues(self._runs[-1], before, count, between):
            self._runs[-1][1] += count
            self._runs[-1][2] = before
            return
        self._runs.append([before, count, between if count > 1 else 0])

    @staticmethod
    def _continues(last: list[int], before: int, count: int, between: int) -> bool:
        """Whether ``count`` pages behind ``before`` bytes lie as those of the last run do; of one
        page alone nothing is known."""
        _, pages, distance = last
        return (
            (pages == 1 or before == distance)
            and (count == 1 or before == between)
            and before <= _MOST_BETWEEN
            and pages + count <= _MOST_BETWEEN
        )

    def plain(self) -> memoryview:
        """The bytes of the stream as they are; only if it has no pages, or does not pack."""
        return self._rest[: self.size]

    def content(self) -> memoryview:
        """The piece, packed, in whole pages; valid until ``clear``."""
        size = self.size + len(self._runs) * RUN.size
        whole = padded(size, self.page_size)
        if not self.pages:
            _clear(self._rest[size:whole])
            return self._rest[:whole]
        packed, at = self._packed, self.pages * self.page_size
        _copy(packed[at : at + self._filled], self._rest[: self._filled])
        at += self._filled
        for run in self._runs:
            RUN.pack_into(packed, at, *run)
            at += RUN.size
        _clear(packed[size:whole])
        return packed[:whole]


def _copy(there: memoryview, data: memoryview) -> None:
    """Without the GIL, which an assignment to a slice keeps."""
    if len(data) < 4096:
        there[:] = data
        return
    np.copyto(np.frombuffer(there, np.uint8), np.frombuffer(data, np.uint8))


def _clear(there: memoryview) -> None:
    there[:] = bytes(len(there))

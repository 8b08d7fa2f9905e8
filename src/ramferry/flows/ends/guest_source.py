"""Batches of a guest's RAM: one packet each, whose pages are read when it is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ramferry.flows.contracts import Offsets, Pages
from ramferry.ram.blocks import Ram, RamBlock
from ramferry.ram.dirty import DirtyTracker
from ramferry.ram.zero import zero_pages
from ramferry.vocabulary import PACKET_BYTES

_NOTHING = memoryview(b"")


@dataclass(frozen=True, slots=True)
class RamBatch:
    """One packet's worth of pages of one block; a :class:`~ramferry.flows.contracts.Batch`.

    A page that the guest writes to meanwhile may go out half written; the tracker knows that it was
    written, so it is sent again.
    """

    block: RamBlock
    offsets: Offsets
    """Ascending."""
    side_by_side: bool
    """Whether the offsets follow each other without a gap."""
    tracker: DirtyTracker
    copied: bool
    """Whether pages are copied before they are used, so that they no longer change. Needed for
    methods that read them more than once, and for trackers that remember what was sent."""

    def load(self, buffer: memoryview) -> Pages:
        """Find the zero pages, and fetch the others."""
        pages = self._in_place(buffer) if self.side_by_side else self._scattered(buffer)
        if self.tracker.needs_copies:
            self.tracker.sent(self.block.name, pages.zero, None)
            if len(pages.normal):
                self.tracker.sent(self.block.name, pages.normal, pages.data)
        return pages

    def _in_place(self, buffer: memoryview) -> Pages:
        first, size = int(self.offsets[0]), len(self.offsets) * self.block.page_size
        row = first // self.block.page_size
        zero = zero_pages(self.block.pages[row : row + len(self.offsets)])
        normal, empty = self._divide(zero)
        if len(empty) or self.copied:
            data = self.block.gather(normal, buffer, copy=self.copied) if len(normal) else _NOTHING
        else:
            data = self.block.view[first : first + size]
        return Pages(self.block.name, normal, empty, data)

    def _scattered(self, buffer: memoryview) -> Pages:
        data = self.block.gather(self.offsets, buffer)
        matrix = np.frombuffer(data, np.uint8).reshape(-1, self.block.page_size)
        zero = zero_pages(matrix)
        normal, empty = self._divide(zero)
        if len(empty):
            matrix[: len(normal)] = matrix[~zero]
            data = data[: len(normal) * self.block.page_size]
        return Pages(self.block.name, normal, empty, data)

    def _divide(self, zero: NDArray[np.bool_]) -> tuple[Offsets, Offsets]:
        """Offsets of the pages with content, and of the zero pages."""
        if not zero.any():
            return self.offsets, self.offsets[:0]
        return self.offsets[~zero], self.offsets[zero]


def ram_batches(
    ram: Ram, dirty: Mapping[str, Offsets], tracker: DirtyTracker, *, copied: bool
) -> Iterator[RamBatch]:
    """Cut the dirty pages into packets, block by block, in ascending order."""
    step = PACKET_BYTES // ram.page_size
    for name, offsets in dirty.items():
        block, firsts = ram.blocks[name], range(0, len(offsets), step)
        lasts = np.minimum(np.arange(step, len(offsets) + step, step), len(offsets)) - 1
        # ascending offsets have no gap where the last is as far from the first as that takes
        spans = (offsets[lasts] - offsets[::step]) // np.uint64(ram.page_size)
        whole = (spans == lasts - np.arange(0, len(offsets), step)).tolist()
        for first, side_by_side in zip(firsts, whole, strict=True):
            yield RamBatch(block, offsets[first : first + step], side_by_side, tracker, copied)


def all_pages(ram: Ram) -> dict[str, Offsets]:
    """Every page of every block."""
    return {
        name: np.arange(0, block.size, ram.page_size, dtype=np.uint64)
        for name, block in ram.blocks.items()
    }


def count(dirty: Mapping[str, Offsets]) -> int:
    """The number of pages in all blocks."""
    return sum(map(len, dirty.values()))

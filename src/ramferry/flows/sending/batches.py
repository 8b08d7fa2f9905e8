"""Pages of a guest's RAM, cut into packets; what each holds is looked at when it is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ramferry.codec.base import PACKET_BYTES
from ramferry.flows.pages import Offsets, Pages
from ramferry.memory.dirty import DirtyTracker
from ramferry.memory.ram import Ram, RamBlock
from ramferry.memory.zero import zero_pages

_NOTHING = memoryview(b"")


@dataclass(frozen=True, slots=True)
class RamBatch:
    """One packet's worth of pages of one block; a :class:`~ramferry.flows.pages.Batch`.

    A page that a guest writes to meanwhile goes out as it is at one moment or another, is known to
    the tracker as written, and is sent again.
    """

    block: RamBlock
    offsets: Offsets
    """Ascending."""
    tracker: DirtyTracker
    copied: bool
    """Whether the bytes must hold still once they were looked at: for methods that read them more
    than once, and for trackers that remember what was sent."""

    def load(self, buffer: memoryview) -> Pages:
        """Tell zero pages from the others, and fetch those."""
        window = self.block.window(self.offsets)
        pages = self._scattered(buffer) if window is None else self._side_by_side(window, buffer)
        if self.tracker.needs_copies:
            self.tracker.sent(self.block.name, pages.zero, None)
            if len(pages.normal):
                self.tracker.sent(self.block.name, pages.normal, pages.data)
        return pages

    def _side_by_side(self, window: memoryview, buffer: memoryview) -> Pages:
        zero = zero_pages(np.frombuffer(window, np.uint8).reshape(-1, self.block.page_size))
        normal = self.offsets[~zero]
        data = self.block.gather(normal, buffer, copy=self.copied) if len(normal) else _NOTHING
        return Pages(self.block.name, normal, self.offsets[zero], data)

    def _scattered(self, buffer: memoryview) -> Pages:
        data = self.block.gather(self.offsets, buffer)
        matrix = np.frombuffer(data, np.uint8).reshape(-1, self.block.page_size)
        zero = zero_pages(matrix)
        if zero.any():
            kept = len(zero) - int(zero.sum())
            matrix[:kept] = matrix[~zero]
            data = data[: kept * self.block.page_size]
        return Pages(self.block.name, self.offsets[~zero], self.offsets[zero], data)


def ram_batches(
    ram: Ram, dirty: Mapping[str, Offsets], tracker: DirtyTracker, *, copied: bool
) -> Iterator[RamBatch]:
    """Cut what is dirty into packets, block by block, in ascending order."""
    step = PACKET_BYTES // ram.page_size
    for name, offsets in dirty.items():
        for first in range(0, len(offsets), step):
            yield RamBatch(ram.blocks[name], offsets[first : first + step], tracker, copied)


def all_pages(ram: Ram) -> dict[str, Offsets]:
    """Every page of every block."""
    return {
        name: np.arange(0, block.size, ram.page_size, dtype=np.uint64)
        for name, block in ram.blocks.items()
    }


def count(dirty: Mapping[str, Offsets]) -> int:
    """How many pages they are."""
    return sum(map(len, dirty.values()))

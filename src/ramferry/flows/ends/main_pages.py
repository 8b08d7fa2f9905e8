"""Pages that come on the main channel, on their way to the sink.

If there are multifd channels, such pages are few, and main's thread hands them over itself. If the
source has no channels, all pages come on main: its thread packs them into packets, and several
threads hand those over. No mark separates the rounds then, so a page that comes again waits until
the sink has taken its older copy.
"""

from __future__ import annotations

import queue
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ramferry.flows.contracts import Offsets, Pages, Sink
from ramferry.flows.ends.intake import Intake
from ramferry.vocabulary import PACKET_BYTES
from ramferry.wire.events import PageRun, ZeroPages

_NONE: Final = np.empty(0, np.uint64)
_NOTHING: Final = memoryview(b"")
_PACKETS: Final = 32
"""Least number of packets, 16 MiB together: full packets keep the threads busy while main's thread
waits for a core. 2 GiB of Silesia data, QEMU 7.2, two threads on 2 cores, medians of 3 interleaved
runs: 5.9 s with 5 packets, 4.4 s with 33."""
_PATIENCE: Final = 0.5
"""Seconds between two looks at whether the migration has failed."""


class MainPages(Protocol):
    """Takes pages from main; all calls come from main's thread."""

    def take(self, run: PageRun) -> None:
        """Take pages with content; their bytes belong to the caller again on return."""

    def take_zeros(self, zeros: ZeroPages) -> None:
        """Take zero pages."""

    def mark(self, index: int) -> None:
        """Called at sync mark ``index``."""

    def settle(self) -> None:
        """Return when the sink has taken all pages so far."""

    def close(self) -> None:
        """End; no more pages come."""


class Direct:
    """Hands pages to the sink in main's thread."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def take(self, run: PageRun) -> None:
        """See ``MainPages``; a run has at most the bytes that main receives at once."""
        data = memoryview(run.content.tobytes())
        self._sink.main_pages(Pages(run.block, run.offsets, _NONE, data))

    def take_zeros(self, zeros: ZeroPages) -> None:
        """See ``MainPages``."""
        self._sink.main_pages(Pages(zeros.block, _NONE, zeros.offsets, _NOTHING))

    def mark(self, index: int) -> None:
        """See ``MainPages``."""
        self._sink.mark(index)

    def settle(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Nothing to do."""


@dataclass(slots=True)
class _Packet:
    """Memory for pages of one block: main's thread fills it, another empties it."""

    page_size: int
    memory: bytearray = field(default_factory=lambda: bytearray(PACKET_BYTES))
    block: str = ""
    offsets: list[Offsets] = field(default_factory=list)
    count: int = 0

    def add(self, offsets: Offsets, content: NDArray[np.uint8]) -> int:
        """Copy as many pages as fit, and return how many did."""
        pages = np.frombuffer(self.memory, np.uint8).reshape(-1, self.page_size)
        taken = min(len(offsets), len(pages) - self.count)
        pages[self.count : self.count + taken] = content[:taken]
        self.offsets.append(offsets[:taken])
        self.count += taken
        return taken

    @property
    def full(self) -> bool:
        return self.count * self.page_size == PACKET_BYTES

    def pages(self) -> Pages:
        """The pages that were copied in."""
        data = memoryview(self.memory)[: self.count * self.page_size]
        return Pages(self.block, np.concatenate(self.offsets), _NONE, data)

    def empty(self) -> None:
        self.offsets.clear()
        self.count = 0


class Threaded:
    """Hands pages to the sink in several threads."""

    def __init__(self, intake: Intake) -> None:
        """Start the threads; the sink's ``begin`` must have been called."""
        self._session = intake.session
        self._sink = intake.sink
        self._page = intake.settings.page_size
        self._busy = {
            name: np.zeros(length // self._page, np.bool_)
            for name, length in intake.session.blocks.items()
        }
        """For each block and page, whether a copy may be on its way to the sink; main's alone."""
        self._full: queue.SimpleQueue[_Packet | None] = queue.SimpleQueue()
        self._taken: queue.SimpleQueue[_Packet] = queue.SimpleQueue()
        """Packets whose pages the sink has taken."""
        self._threads = intake.settings.threads
        self._packets = max(_PACKETS, 2 * self._threads + 1)
        self._empty = [_Packet(self._page) for _ in range(self._packets)]
        """Packets to be filled; main's alone."""
        self._packet: _Packet | None = None
        for number in range(self._threads):
            self._session.start(f"pages {number}", partial(self._work, number))

    def take(self, run: PageRun) -> None:
        """Pack pages that came on main."""
        busy, numbers = self._order(run.block, run.offsets)
        busy[numbers] = True
        done = 0
        while done < len(run.offsets):
            packet = self._room(run.block)
            done += packet.add(run.offsets[done:], run.content[done:])
            if packet.full:
                self._hand_over()

    def take_zeros(self, zeros: ZeroPages) -> None:
        """Hand zero pages to the sink, in main's thread."""
        self._order(zeros.block, zeros.offsets)
        pages = Pages(zeros.block, _NONE, zeros.offsets, _NOTHING)
        self._sink.main_pages(pages)

    def mark(self, index: int) -> None:
        """Do not tell the sink, as earlier pages may still be on their way."""

    def settle(self) -> None:
        """Return when the sink has taken all pages so far."""
        self._hand_over()
        while len(self._empty) < self._packets:
            self._take_back()

    def close(self) -> None:
        """End the threads."""
        for _ in range(self._threads):
            self._full.put(None)

    def _order(self, block: str, offsets: Offsets) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
        """Wait until no older copy of these pages is on its way; return the block's array of
        ``_busy``, and the pages' numbers."""
        busy, numbers = self._busy[block], offsets // np.uint64(self._page)
        if busy[numbers].any():
            for _ in range(self._taken.qsize()):  # nobody else takes them
                self._take_back()
            if busy[numbers].any():
                self.settle()
        return busy, numbers

    def _room(self, block: str) -> _Packet:
        """The packet that is being filled, or the next one if that holds another block's pages."""
        if self._packet is not None and self._packet.block != block:
            self._hand_over()
        if self._packet is None:
            if not self._empty:
                self._take_back()
            self._packet = self._empty.pop()
            self._packet.block = block
        return self._packet

    def _hand_over(self) -> None:
        if self._packet is not None:
            self._full.put(self._packet)
            self._packet = None

    def _take_back(self) -> None:
        """Wait for a packet that the sink has taken, and empty it."""
        while True:
            self._session.check()
            try:
                packet = self._taken.get(timeout=_PATIENCE)
            except queue.Empty:
                continue
            for offsets in packet.offsets:
                self._busy[packet.block][offsets // np.uint64(self._page)] = False
            packet.empty()
            self._empty.append(packet)
            return

    def _work(self, number: int) -> None:
        """One thread: hand packets to the sink until there are no more."""
        sink = self._sink.channel(number)
        while (packet := self._full.get()) is not None:
            sink.pages(packet.pages())
            self._taken.put(packet)

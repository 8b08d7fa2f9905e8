"""Makes the stream of a guest whose memory this process holds, section by section.

It is the stream of a QEMU with a machine type from 10.0 on: header, configuration, block list,
rounds with a MULTIFD_FLUSH each, SWITCHOVER_START, the device section, end, VM description; zero
pages travel in packets.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import numpy as np

from ramferry.flows.contracts import Offsets
from ramferry.flows.ends.guest_source import all_pages, count, ram_batches
from ramferry.flows.ends.precopy import Rounds
from ramferry.flows.outlet.outgoing import Outgoing
from ramferry.ram.blocks import Ram
from ramferry.ram.dirty import DirtyTracker
from ramferry.vocabulary import OPEN_RETURN_PATH, PING, SWITCHOVER_START
from ramferry.wire.events import BlockEntry
from ramferry.wire.grammar import SectionType
from ramferry.wire.writer import command, ram_start, round_end, section, stream_start

RAM_SECTION: Final = 2
"""Section id of ram; most QEMUs use this one, but any would do."""


class SendingGuest(Protocol):
    """The guest that a sender moves."""

    ram: Ram
    machine: str
    """The machine type's versioned name."""

    def watch(self) -> DirtyTracker:
        """Start to track which pages the guest writes; the caller closes the tracker.

        :raise HostError: the wanted tracker cannot be had.
        """

    def pause(self) -> None:
        """Stop the guest: when this returns it writes nothing more."""

    def resume(self) -> None:
        """Let it run again, if it ran before ``pause``."""

    def stand_still(self) -> None:
        """Leave it stopped, in place of ``resume``, because it may run at the destination; a person
        may let it go on."""

    def device_state(self) -> bytes:
        """The sections of the stopped guest's devices, and the end of the stream."""


class GuestStream:
    """Sends a guest's memory. Every method raises a ``RamferryError`` if the migration has
    failed."""

    def __init__(
        self,
        guest: SendingGuest,
        outgoing: Outgoing,
        rounds: Rounds,
        method: str,
        on_pass: Callable[[int], None],
    ) -> None:
        """:param on_pass: called with the number of each pass over the dirty pages, from 1."""
        self._guest = guest
        self._outgoing = outgoing
        self._rounds = rounds
        self._method = method
        self._on_pass = on_pass

    @property
    def _reads_twice(self) -> bool:
        """Whether a page is read more than once on its way."""
        return self._method != "none" or self._outgoing.seals

    def begin(self) -> None:
        """Send everything before the first round."""
        ram = self._guest.ram
        blocks = [BlockEntry(one.name, one.size, one.page_size) for one in ram.blocks.values()]
        self._outgoing.main(
            stream_start(self._guest.machine)
            + command(OPEN_RETURN_PATH)
            + command(PING, struct.pack(">I", 1))
            + ram_start(RAM_SECTION, blocks)
        )
        self._end_section()
        self._on_pass(1)  # QEMU collects, and says so, before it is active

    def precopy(
        self, tracker: DirtyTracker, downtime_limit_ms: Callable[[], float]
    ) -> Mapping[str, Offsets]:
        """Send the dirty pages round after round, while the guest runs.

        :param downtime_limit_ms: asked at the end of each round.
        :return: the pages that are left, which fit the downtime limit.
        """
        dirty: Mapping[str, Offsets] = all_pages(self._guest.ram)
        while True:
            self._round(SectionType.PART, tracker, dirty, copied=self._reads_twice)
            dirty = tracker.collect()
            if self._rounds.downtime_ms(count(dirty)) <= downtime_limit_ms():
                return dirty

    def end(self, tracker: DirtyTracker, dirty: Mapping[str, Offsets]) -> None:
        """Send ``dirty`` and what was written since; the guest must have been stopped."""
        last = tracker.collect()
        united = {name: np.union1d(dirty[name], last[name]) for name in dirty}
        self._outgoing.main(command(SWITCHOVER_START))
        self._round(SectionType.END, tracker, united, copied=False)

    def _round(
        self,
        kind: SectionType,
        tracker: DirtyTracker,
        dirty: Mapping[str, Offsets],
        *,
        copied: bool,
    ) -> None:
        """:param copied: whether pages have to be copied, because the guest may write to one
        between two times that it is read."""
        copied = copied or tracker.needs_copies
        self._rounds.begin(count(dirty), self._outgoing.pages)
        if self._rounds.syncs > 1:
            self._on_pass(self._rounds.syncs)
        self._outgoing.main(section(kind, RAM_SECTION))
        self._outgoing.carry(ram_batches(self._guest.ram, dirty, tracker, copied=copied))
        self._end_section()
        self._rounds.end()

    def _end_section(self) -> None:
        mark, rest = round_end(RAM_SECTION, "round")
        self._outgoing.sync(mark)
        self._outgoing.main(rest)

"""The sender: a live migration of a guest whose memory this process holds.

Its stream is a QEMU's of machine types from 10.0 on: header, configuration, block list, rounds
with a MULTIFD_FLUSH each, SWITCHOVER_START, the device section, end, VM description; zero pages
travel in packets. Only the destination's SHUT ends it well: before that, every fault leaves the
guest here. Once the device state is on its way no silence is a fault, only the end of main.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, Literal, Protocol

import numpy as np

from ramferry.errors import Cancelled, MigrationFailed, RamferryError
from ramferry.flows.contracts import Offsets
from ramferry.flows.ends.guest_source import all_pages, count, ram_batches
from ramferry.flows.ends.precopy import Precopy, Rounds
from ramferry.flows.outlet.outgoing import Outgoing
from ramferry.flows.session.reminder import Reminder
from ramferry.flows.settings import SendSettings
from ramferry.metrics import SendProgress
from ramferry.ram.blocks import Ram
from ramferry.ram.dirty import DirtyTracker
from ramferry.wire.events import RamBlock
from ramferry.wire.grammar import SectionType
from ramferry.wire.writer import command, ram_start, round_end, section, stream_start

Status = Literal[
    "setup",
    "active",
    "pre-switchover",
    "device",
    "completed",
    "failed",
    "cancelling",
    "cancelled",
]
"""QEMU's migration statuses, those that a sender sees."""

RAM_SECTION: Final = 2
"""Ram's section id, as on most QEMUs; any other would do."""
_SILENT: Final = (
    "the destination has all of the guest and has said nothing for {seconds:.0f} s: the guest "
    "stands still here; if the destination is dead, end it, and the guest goes on here"
)
_ONLY_THERE: Final = (
    ": it had all of the guest, and may run it all the same: look there before both run"
)
_OPEN_RETURN_PATH: Final = 1
_PING: Final = 2
_SWITCHOVER_START: Final = 11


class SendingGuest(Protocol):
    """The guest that a sender moves."""

    ram: Ram
    machine: str
    """The machine type's versioned name."""

    def watch(self) -> DirtyTracker:
        """Start to watch what the guest writes; the sender closes it.

        :raise HostError: it cannot be watched as was wanted.
        """

    def pause(self) -> None:
        """Stop the guest: when this returns it writes nothing more."""

    def resume(self) -> None:
        """Let it run again, if it ran before ``pause``."""

    def device_state(self) -> bytes:
        """Sections of the stopped guest's devices, and the end of the stream."""


class Sender:
    """One migration that begins here; ``run`` in a thread of its own, the rest from any."""

    def __init__(
        self,
        settings: SendSettings,
        precopy: Precopy,
        guest: SendingGuest,
        on_status: Callable[[Status], None],
        on_pass: Callable[[int], None] = lambda _: None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """
        :param on_status: told each status in the thread of ``run``.
        :param on_pass: told the number of each pass over the dirty pages, likewise, from 1.
        :param note: told what a person should know, likewise.
        :raise UsageError: there is no such method, or it has no such level.
        """
        self._settings = settings
        self._precopy = precopy
        self._guest = guest
        self._on_status = on_status
        self._on_pass = on_pass
        self._note = note
        self.error = ""
        """Why it failed or was cancelled."""
        self._outgoing = Outgoing(settings)
        self._rounds = Rounds(settings.page_size)
        self._status: Status = "setup"
        self._began = time.monotonic()
        self._ended = self._setup = self._stopped = 0.0
        self._downtime_ms: int | None = None
        self._proceed = threading.Event()
        self._lock = threading.Lock()
        self._sealed = False
        """The tail is on its way: only the destination knows whether its guest runs."""
        self._abandoned = False

    def run(self) -> None:
        """Carry the guest over, or leave it running here.

        :raise RamferryError: why it failed; the guest is as it was before.
        """
        with self._outgoing:
            try:
                self._carry()
            except RamferryError as error:
                self._fail(error)
                raise
            except Exception as error:
                self._fail(RamferryError(f"internal error in the sender: {error!r}"))
                raise
        self._to("completed")

    def cancel(self, reason: str) -> bool:
        """End it; False where it is too late, because the destination may have the guest."""
        with self._lock:
            if self._sealed:
                return False
            self._outgoing.abort(Cancelled(reason))
            self._proceed.set()
            return True

    def abandon(self) -> None:
        """The guest's process ends: break the migration off, wherever it is; nothing runs here."""
        self._abandoned = True
        self._outgoing.abort(Cancelled("the source's process ended"))
        self._proceed.set()

    def proceed(self) -> None:
        """Go on from "pre-switchover"."""
        self._proceed.set()

    def set_bandwidth(self, rate: float) -> None:
        """Change the cap, in wire bytes per second; 0: none."""
        self._outgoing.set_bandwidth(rate)

    def progress(self) -> SendProgress:
        """Where it stands."""
        rounds, counters = self._rounds, self._outgoing.counters()
        ended = self._ended or time.monotonic()
        return SendProgress(
            status=self._status,
            setup_ms=round((self._setup - self._began) * 1000) if self._setup else 0,
            total_ms=round((ended - self._began) * 1000),
            downtime_ms=self._downtime_ms,
            expected_downtime_ms=round(rounds.downtime_ms(rounds.pages)),
            total_bytes=self._guest.ram.total,
            remaining_bytes=rounds.left(self._outgoing.pages) * self._settings.page_size,
            dirty_syncs=rounds.syncs,
            dirty_pages_per_second=round(rounds.dirty_rate),
            counters=counters,
        )

    # --- the course

    def _carry(self) -> None:
        self._to("setup")
        guest, outgoing = self._guest, self._outgoing
        outgoing.open()
        tracker = guest.watch()
        try:
            outgoing.main(self._head())
            self._end_section()
            self._setup = time.monotonic()
            self._on_pass(1)  # QEMU collects, and says so, before it is active
            self._to("active")
            dirty = self._precopy_rounds(tracker)
            self._stop_guest()
            self._switch_over(tracker, dirty)
            self._hand_over()
        finally:
            tracker.close()  # 40 ms a GiB, which a guest that stands still need not wait for

    def _head(self) -> bytes:
        blocks = [
            RamBlock(one.name, one.size, one.page_size) for one in self._guest.ram.blocks.values()
        ]
        return (
            stream_start(self._guest.machine)
            + command(_OPEN_RETURN_PATH)
            + command(_PING, struct.pack(">I", 1))
            + ram_start(RAM_SECTION, blocks)
        )

    def _precopy_rounds(self, tracker: DirtyTracker) -> Mapping[str, Offsets]:
        """Send what is dirty until the rest fits the downtime limit; the rest."""
        dirty: Mapping[str, Offsets] = all_pages(self._guest.ram)
        while True:
            self._round(SectionType.PART, tracker, dirty)
            dirty = tracker.collect()
            pending = count(dirty)
            if self._rounds.downtime_ms(pending) <= self._precopy.downtime_limit_ms:
                return dirty

    def _stop_guest(self) -> None:
        self._outgoing.check()
        self._stopped = time.monotonic()
        self._guest.pause()
        if self._precopy.pause_before_switchover:
            self._to("pre-switchover")
            while not self._proceed.wait(0.1):
                self._outgoing.check()
        self._outgoing.check()
        self._to("device")

    def _switch_over(self, tracker: DirtyTracker, dirty: Mapping[str, Offsets]) -> None:
        """Send the rest, which no one writes to any more."""
        last = tracker.collect()
        dirty = {name: _united(dirty[name], last[name]) for name in dirty}
        self._outgoing.main(command(_SWITCHOVER_START))
        self._round(SectionType.END, tracker, dirty)

    def _hand_over(self) -> None:
        """Send the device state; the destination says whether it took the guest over."""
        state = self._guest.device_state()
        with self._lock:
            self._outgoing.check()
            self._sealed = True
        try:
            refusal = self._outgoing.hand_over(state, Reminder(self._note, _SILENT).look)
        except RamferryError as error:
            raise error.reworded(f"{error}{_ONLY_THERE}") from error
        if refusal:
            raise MigrationFailed(f"the destination refused the guest (SHUT with error {refusal})")
        # what is cleared away afterwards no guest waits for, nor does QEMU count it
        self._ended = time.monotonic()
        self._downtime_ms = round((self._ended - self._stopped) * 1000)

    def _round(
        self, kind: SectionType, tracker: DirtyTracker, dirty: Mapping[str, Offsets]
    ) -> None:
        copied = tracker.needs_copies or (
            kind is SectionType.PART and self._settings.method != "none"
        )
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

    def _fail(self, error: RamferryError) -> None:
        self.error = str(error)
        cancelled = isinstance(error, Cancelled)
        if cancelled:
            self._to("cancelling")
        self._outgoing.abort(error)
        if self._stopped and not self._abandoned:
            self._guest.resume()
        self._to("cancelled" if cancelled else "failed")

    def _to(self, status: Status) -> None:
        if status in ("completed", "failed", "cancelled"):
            self._ended = self._ended or time.monotonic()
        self._status = status
        self._on_status(status)


def _united(one: Offsets, other: Offsets) -> Offsets:
    """Offsets that are in either, ascending."""
    united: Offsets = np.union1d(one, other)
    return united

"""The connections of a migration that begins here: main, and channels with a thread each.

The order is that of a QEMU source: main is connected before any channel, and each round's pages are
sent before its SYNCs, and those before its mark on main (``docs/wire-format.md``, sections 1 and
3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Self

from ramferry.errors import MigrationFailed, PeerTimeout, RamferryError
from ramferry.flows.contracts import Batch
from ramferry.flows.outlet.fed_channel import FedChannel
from ramferry.flows.outlet.handout import Handout
from ramferry.flows.outlet.last_bytes import LastBytes
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.outlet.refused import unless_main_tells
from ramferry.flows.session.gate import Unwind
from ramferry.flows.session.session import Session
from ramferry.flows.settings import SendSettings
from ramferry.metrics import RelayCounters
from ramferry.transport.connection import Connection

_LOOK: Final = 0.05
"""Seconds between two looks at the rate while batches are sent."""


class Outgoing:
    """The connections to one destination; a context manager that ends them."""

    def __init__(self, settings: SendSettings) -> None:
        """:raise UsageError: there is no such method, or it has no such level."""
        self.session = Session(settings, note=lambda _: None, wake=self._ended_early)
        self._outlet = self.session.behind = Outlet(self.session, settings)
        self._tally = self.session.tally
        self.rounds = 0
        """Number of marks that were sent."""
        self._handout = Handout()
        self._channels = [
            FedChannel(self._outlet, id, settings.uuid, self._handout)
            for id in range(settings.channels)
        ]
        self._governor = self._outlet.governor()
        self._main: Connection
        self._main_tally = self._tally.channel("main")
        self._last = LastBytes(self._outlet, self._main_tally, self.check)

    @property
    def error(self) -> RamferryError | None:
        """Why it ended early; None if it did not."""
        return self.session.error

    @property
    def sealed(self) -> bool:
        """True once the part of the stream is on its way with which the destination may start the
        guest."""
        return self._last.sealed

    def counters(self) -> RelayCounters:
        """The counters so far."""
        return self._tally.snapshot(self.rounds)

    @property
    def pages(self) -> int:
        """Pages sent so far, zero pages included."""
        return sum(one.pages + one.zero_pages for one in self._tally.channels)

    @property
    def seals(self) -> bool:
        """Whether digests are made of the pages, beside their sending."""
        return self._outlet.far is not None and bool(self._outlet.far.agreed.digest)

    def set_bandwidth(self, rate: float) -> None:
        """Change the cap, in wire bytes per second; 0: no cap."""
        self._outlet.set_bandwidth(rate)

    def open(self) -> None:
        """Connect main, then every channel, and start the threads.

        :raise PeerUnreachable: nobody accepts.
        :raise RamferryError: the migration was ended meanwhile.
        """
        try:
            self.take_main(self._outlet.connect(main=True))
            for channel in self._channels:
                channel.open()
        except Unwind:
            self.check()
            raise
        for channel in self._channels:
            self.session.start(channel.name, channel.run)

    def take_main(self, main: Connection) -> None:
        """Use ``main`` as the main channel, and listen to the answer on it."""
        self._main = self._outlet.main = main
        self._last.listen(main)

    def main(self, data: bytes) -> None:
        """Send bytes on main.

        :raise RamferryError: the migration has failed.
        """
        self.check()
        try:
            self._main_tally.bytes_out += self._main.send([data])
        except (OSError, PeerTimeout) as error:
            broken = MigrationFailed(f"main: the destination takes no more: {error}")
            with suppress(Unwind):
                self.abort(unless_main_tells(self.session, broken))
            self.check()

    def carry(self, batches: Iterable[Batch], waiting: Callable[[], None] = lambda: None) -> None:
        """Have the channels load, compress and send every batch; return when all are sent.

        :param batches: drawn from in the channels' threads, one at a time.
        :param waiting: called repeatedly in this thread; if it raises, the wait ends.
        :raise RamferryError: the migration has failed.
        """
        self.check()
        self._handout.give(batches)
        while not self._handout.done(_LOOK):
            self._governor.adjust()
            waiting()
            self.check()
        self.check()

    def sync(self, mark: bytes) -> None:
        """End a round: a SYNC on every channel, then ``mark``.

        :raise RamferryError: the migration has failed.
        """
        try:
            for channel in self._channels:
                self.check()
                channel.sync()
            self._outlet.pass_mark(self.rounds)
        except Unwind:
            self.check()
        except RamferryError as error:
            self.abort(error)
        self.main(mark)
        self.rounds += 1

    def hand_over(self, tail: bytes, waiting: Callable[[], None] = lambda: None) -> None:
        """Send the rest, with which the destination may start the guest, and wait until it has
        taken that over; see ``LastBytes.hand_over``."""
        self._last.hand_over(tail, waiting)

    def check(self) -> None:
        """:raise RamferryError: the migration has failed; the error is the first cause."""
        if self.error is not None:
            raise self.error

    def abort(self, error: RamferryError) -> None:
        """End every connection, main first, because a destination notices the end of main at any
        time.

        Safe from any thread. If called again, the first error stays.
        """
        self.session.fail(error, final=True)

    def _ended_early(self) -> None:
        self._handout.drop()
        self._outlet.tear_down()

    def close(self) -> None:
        """Wait for the threads and free the connections. If the migration has not ended well, it
        fails."""
        if self._last.shut is None:
            self.abort(MigrationFailed("the migration was given up"))
        self._handout.end()
        self._outlet.tear_down()
        self.session.close()
        self._outlet.part()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

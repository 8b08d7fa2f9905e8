"""The relay: QEMU's migration stream in, every method decoded, every method encoded, out.

An inlet and an outlet, joined by pages. The rules that they keep are in ``docs/decisions``. One
thread accepts, watches and judges, while every channel has a thread of its own.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Protocol

from ramferry.codec import create_decoder, create_encoder
from ramferry.flows.inlet import watching
from ramferry.flows.inlet.arrivals import Arrivals
from ramferry.flows.inlet.channel import ChannelInlet
from ramferry.flows.inlet.judge import RELAYED
from ramferry.flows.inlet.lobby import MainArrival, MultifdArrival
from ramferry.flows.inlet.main import MainInlet
from ramferry.flows.outcome import cancelled, relay_result
from ramferry.flows.outlet.channel import RelayedChannel
from ramferry.flows.outlet.far_ends import FarEnds
from ramferry.flows.outlet.main import RelayedMain
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.session.footprint import Footprint
from ramferry.flows.session.loop import Loop
from ramferry.flows.session.session import Phase, Session
from ramferry.flows.settings import RelaySettings
from ramferry.metrics import RelayResult
from ramferry.qatzip.accelerator import REQUIRE
from ramferry.transport.connection import Connection
from ramferry.transport.listening import Listener


class Observer(watching.Observer, Protocol):
    """Told of each migration's end, too."""

    def finished(self, result: RelayResult) -> None:
        """A migration ended, one way or the other."""


class Relay:
    """Listens at one address and carries one migration after another to the other."""

    def __init__(self, settings: RelaySettings, observer: Observer) -> None:
        # a wrong method or level is the caller's error, a device that is required and not there
        # this host's: before anything listens
        create_encoder(
            settings.method,
            settings.level,
            page_size=settings.page_size,
            accelerator=settings.accelerator,
        )
        if settings.accelerator == REQUIRE:
            create_decoder("qatzip", accelerator=REQUIRE)
        self._settings = settings
        self._observer = observer
        self._listener = Listener(settings.listen)
        self._loop = Loop()
        self._stopping = False
        self._outlet: Outlet
        """Of the migration under way, as are these."""
        self._main: RelayedMain
        self._far_ends: FarEnds
        self._footprint = Footprint()
        self.arrivals = Arrivals(
            self._loop,
            self._listener,
            self,
            observer.note,
            settings.channels,
            advice=": pass --channels",
        )

    def run(self, *, once: bool = False) -> RelayResult | None:
        """Carry migrations until ``stop``; with ``once``, carry one and return how it ended."""
        self._observer.listening(self._listener.address)
        result = None
        try:
            while not self._stopping and not (once and result):
                self._loop.step(watching.STEP)
                self.arrivals.expire()
                if self.arrivals.session is not None:
                    result = self._carry(self.arrivals.session)
        finally:
            self._close()
        return result

    def stop(self, reason: str) -> None:
        """End the relay; safe from a signal handler. A switchover under way is let finish."""
        self._loop.call(partial(self._stop, reason))

    def watch_parent(self, fd: int) -> None:
        """End the relay when the reader of pipe ``fd`` is gone; a file has none."""
        with contextlib.suppress(PermissionError):
            self._loop.add(fd, 0, partial(self._parent_gone, fd))

    def _parent_gone(self, fd: int) -> None:
        self._loop.remove(fd)
        if not self._stopping:
            self._stop("its reader is gone")

    def _stop(self, reason: str) -> None:
        again, self._stopping = self._stopping, True
        session = self.arrivals.session
        if session is None:
            return
        if session.phase == Phase.SWITCHOVER and not again:
            self._observer.note(
                "the switchover has begun and only the destination can end it: waiting for its "
                "answer (signal again to cut the connections)"
            )
            return
        session.fail(cancelled(session, reason), final=again)

    # --- as the house of its arrivals

    def enter(self, source: Connection) -> Session:
        """See ``House``: an outlet of its own lies behind each migration."""
        session = Session(self._settings, self._observer.note, self._loop.wake)
        self._outlet = session.behind = Outlet(session, self._settings, self._settings.uuid)
        self._main = RelayedMain(self._outlet, source)
        self._far_ends = FarEnds(self._loop, session)
        return session

    def main(self, session: Session, arrival: MainArrival) -> None:
        """See ``House``."""
        source = arrival.connection
        source.settle(self._settings.stall_timeout)
        inlet = MainInlet(session, source, arrival.first, self._main, RELAYED, whole_preamble=True)
        session.start("main", inlet.run, inlet.farewell)

    def channel(self, session: Session, arrival: MultifdArrival) -> None:
        """See ``House``."""
        source = arrival.connection
        source.settle(self._settings.stall_timeout)
        onward = RelayedChannel(self._outlet, source, arrival.initial, self._far_ends.watch)
        inlet = ChannelInlet(session, source, arrival.initial, onward)
        session.start(inlet.name, inlet.run, inlet.farewell)

    # --- one migration

    def _carry(self, session: Session) -> RelayResult:
        """Watch over a migration until it has ended and nothing of it is left."""
        governor = self._outlet.governor()
        if not watching.watch(
            session, self.arrivals, self._loop, governor, self._observer, self._look
        ):
            self._main.tell_if_unheard()
        return self._end(session)

    def _look(self) -> None:
        self._main.look_back()
        self._footprint.look()

    def _end(self, session: Session) -> RelayResult:
        self._footprint.measure()
        self._far_ends.close()
        completed = session.end()
        self.arrivals.ended(failed=not completed)
        session.engines.tell_troubles()
        result = relay_result(session, self._settings, self.arrivals.gathered, self._footprint)
        self._observer.progress(result.counters)
        self._observer.finished(result)
        return result

    def _close(self) -> None:
        session = self.arrivals.session
        self.arrivals.close()
        if session is not None:
            session.fail(cancelled(session, "the relay ended"), final=True)
            self._end(session)
        self._loop.close()
        self._listener.close()

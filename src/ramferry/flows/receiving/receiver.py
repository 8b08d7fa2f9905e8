"""The receiver: a live migration from a real QEMU ends here, in a sink.

It keeps the rules that a destination QEMU keeps: a mark is met by one SYNC of every channel, the
source is told of its guest's arrival only when the sink has it, and any fault before that resets
every connection, so that the source fails the migration and its guest goes on.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from ramferry.errors import Cancelled, MigrationFailed, RamferryError
from ramferry.flows import gathering
from ramferry.flows.contracts import Sink
from ramferry.flows.gathering import Observer
from ramferry.flows.lobby import Departure, Lobby, MainArrival, MultifdArrival
from ramferry.flows.loop import Loop
from ramferry.flows.migration import Phase
from ramferry.flows.receiving.channel import ReceivingChannel
from ramferry.flows.receiving.main_channel import PATIENCE, ReceivingMain
from ramferry.flows.receiving.reception import ReceiveSettings, Reception
from ramferry.flows.roster import Roster
from ramferry.flows.stall import StallWatch
from ramferry.flows.waiting import WaitingChannels
from ramferry.metrics import ReceiveResult
from ramferry.patience import Patience
from ramferry.transport import sockets
from ramferry.transport.listening import Listener

_STEP: Final = 0.25
"""Seconds between two looks at what no event reports; also the pace of progress."""
_FAREWELL: Final = 5.0
"""Seconds for the source to close its side after it was told that its guest was taken over."""


class Receiver:
    """Listens at one address and takes one migration into a sink."""

    def __init__(self, settings: ReceiveSettings, sink: Sink, observer: Observer) -> None:
        """Listen; ``run`` accepts.

        :raise HostError: the address is in use or not ours to take.
        """
        self._settings = settings
        self._observer = observer
        self._loop = Loop()
        self._listener = Listener(settings.listen)
        self._roster = Roster(settings.channels)
        self._session = Reception(settings, sink, observer.note, self._loop.wake)
        self._begun = False
        self._waiting = WaitingChannels(
            self._loop, observer.note, self._departed, lambda: self._lobby.silent
        )
        self._lobby = Lobby(
            self._loop, self._listener, self._arrived, observer.note, self._departed
        )

    def run(self) -> ReceiveResult:
        """Take one migration in, to its good or early end."""
        self._observer.listening(self._listener.address)
        session = self._session
        try:
            while not self._begun and not session.over.is_set():
                self._loop.step(_STEP)
                self._lobby.expire()
                self._waiting.expire()
            self._carry()
        finally:
            self._close()
        return self._result()

    def stop(self, reason: str) -> None:
        """Cancel; safe from any thread and signal handler.

        Too late once the sink makes it final: the migration completes, as the result says.
        """
        self._loop.call(partial(self._session.fail, Cancelled(f"cancelled: {reason}")))

    @property
    def error(self) -> RamferryError | None:
        """Why it ended early; None where it did not, or has not ended."""
        return self._session.error

    # --- arrivals

    def _arrived(self, arrival: MainArrival | MultifdArrival) -> None:
        if isinstance(arrival, MultifdArrival):
            if self._session.gathered.is_set():
                self._add_channel(arrival)
                return
            self._waiting.add(arrival)
            if self._begun:
                self._take_waiting()
            return
        if self._begun:
            self._observer.note("refused a second migration while one is under way")
            arrival.sock.close()
            return
        self._begun = True
        self._session.sources.append(arrival.sock)
        settings = self._settings
        piece = PATIENCE if settings.threads else None
        sockets.tune(arrival.sock, settings.stall_timeout, piece=piece)
        main = ReceivingMain(self._session, arrival.sock, arrival.first)
        self._session.start("main", main.run)
        self._waiting.begin(arrival.call, sockets.heard_at(arrival.sock))
        self._take_waiting()

    def _take_waiting(self) -> None:
        for channel in self._waiting.take():
            self._add_channel(channel)
        gathering.miss(self._session, self._waiting.gone())

    def _take_early(self) -> None:
        ids = self._roster.ids
        for channel in self._waiting.take_early(ids):
            self._add_channel(channel)

    def _departed(self, departure: Departure) -> None:
        """A connection that was no main yet was closed by its peer."""
        self._waiting.remember(departure)
        if self._begun and not self._session.gathered.is_set():
            gathering.miss(self._session, self._waiting.gone())

    def _add_channel(self, arrival: MultifdArrival) -> None:
        session = self._session
        if not gathering.admit(session, self._roster, arrival, self._waiting.main):
            return
        sockets.tune(arrival.sock, self._settings.stall_timeout)
        channel = ReceivingChannel(session, arrival.sock, arrival.initial)
        session.start(channel.name, channel.run)

    # --- the migration

    def _carry(self) -> None:
        """Watch until the migration has ended, and the source has heard of a good end."""
        session = self._session
        watch, governor = StallWatch(session), session.governor()
        farewell: Patience | None = None
        next_look = 0.0
        while session.running() and not session.over.is_set():
            brief = session.phase is Phase.GATHERING or farewell is not None
            self._loop.step(0.02 if brief else _STEP)
            gathering.gather(session, self._lobby, self._roster, self._take_early)
            if session.phase is Phase.CONFIRMED:
                farewell = farewell or Patience(_FAREWELL)
                if farewell.over:
                    return
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + _STEP
                watch.look()
                governor.adjust()
                self._observer.progress(session.tally.snapshot(session.gate.passed))

    def _close(self) -> None:
        session = self._session
        if session.phase is Phase.CONFIRMED:
            session.part()
        else:
            # also where a fault of ours left it sealed: the source was told nothing
            session.fail(MigrationFailed("every connection ended early"), final=True)
            session.tear_down()
        session.close()
        self._lobby.close()
        self._waiting.close()
        self._loop.close()
        self._listener.close()
        session.engines.tell_troubles()
        if session.error is not None:
            session.sink.abort(session.error)

    def _result(self) -> ReceiveResult:
        session = self._session
        error = session.error
        return ReceiveResult(
            completed=error is None,
            error=str(error) if error else "",
            exit_code=error.exit_code if error else 0,
            machine=session.machine,
            method=session.method_in,
            backend=session.backend,
            channels=len(self._roster.ids),
            counters=session.tally.snapshot(session.gate.passed),
        )

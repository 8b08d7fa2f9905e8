"""The relay: QEMU's migration stream in, every method decoded, every method encoded, out.

The rules it keeps are in ``docs/decisions``; where each lives: connections are classified in
``lobby``, marks are held in ``gate``, faults end a migration in ``session``, and the two kinds of
channel are carried in ``main_channel`` and ``multifd_channel``. This file ties them together in one
thread that accepts, watches and judges, while every channel has a thread of its own.
"""

from __future__ import annotations

import contextlib
import socket
import time
from functools import partial
from typing import Final, Protocol

from ramferry.codec import create_decoder, create_encoder
from ramferry.errors import (
    Cancelled,
    MigrationFailed,
)
from ramferry.flows import footprint as memory
from ramferry.flows import gathering
from ramferry.flows.calls import Call, mother
from ramferry.flows.lobby import Departure, Lobby, MainArrival, MultifdArrival
from ramferry.flows.loop import HUNG_UP, Loop
from ramferry.flows.main_channel import MainChannel
from ramferry.flows.migration import Phase
from ramferry.flows.multifd_channel import MultifdChannel
from ramferry.flows.roster import Roster
from ramferry.flows.session import RelaySettings, Session
from ramferry.flows.stall import StallWatch
from ramferry.flows.waiting import WaitingChannels
from ramferry.metrics import RelayResult
from ramferry.patience import Patience
from ramferry.qatzip.accelerator import REQUIRE
from ramferry.transport import sockets
from ramferry.transport.listening import Listener

_STEP: Final = 0.25
"""Seconds between two looks at what no event reports; also the pace of progress."""
_MEMORY_LOOKS: Final = 4
"""Steps between two looks at this process's memory: a look takes the kernel 0.5 ms."""
_FAREWELL: Final = 5.0
"""Seconds for the source to close its side after it was told that the destination took over."""


class Observer(gathering.Observer, Protocol):
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
        self._session: Session | None = None
        self._roster = Roster(settings.channels)
        self._stopping = False
        self._pss = 0
        self._waiting = WaitingChannels(
            self._loop, observer.note, self._departed, lambda: self._lobby.silent
        )
        self._lobby = Lobby(
            self._loop, self._listener, self._arrived, observer.note, self._departed
        )

    def run(self, *, once: bool = False) -> RelayResult | None:
        """Carry migrations until ``stop``; with ``once``, carry one and return how it ended."""
        self._observer.listening(self._listener.address)
        result = None
        try:
            while not self._stopping and not (once and result):
                self._loop.step(_STEP)
                self._lobby.expire()
                self._waiting.expire()
                if self._session is not None:
                    result = self._carry(self._session)
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
        if self._session is None:
            return
        if self._session.phase == Phase.SWITCHOVER and not again:
            self._observer.note(
                "the switchover has begun and only the destination can end it: waiting for its "
                "answer (signal again to cut the connections)"
            )
            return
        self._session.fail(_cancelled(self._session, reason), final=again)

    # --- arrivals

    def _arrived(self, arrival: MainArrival | MultifdArrival) -> None:
        session = self._session
        if isinstance(arrival, MultifdArrival):
            if session is not None and session.gathered.is_set():
                self._add_channel(session, arrival)
                return
            self._waiting.add(arrival)
            if session is not None:
                self._take_waiting(session)
            return
        if session is not None:
            self._observer.note("refused a second migration while one is under way")
            arrival.sock.close()
            return
        self._begin(arrival)

    def _begin(self, arrival: MainArrival) -> None:
        session = self._enter(arrival.sock, arrival.call)
        early = self._waiting.take()
        gathering.miss(session, self._waiting.gone())
        if not session.over.is_set():
            sockets.tune(arrival.sock, self._settings.stall_timeout)
            main = MainChannel(session, arrival.sock, arrival.first)
            session.start("main", main.run, main.farewell)
        for channel in early:
            self._add_channel(session, channel)

    def _enter(self, main: socket.socket, call: Call) -> Session:
        """A migration begins."""
        session = Session(self._settings, self._observer.note, self._loop.wake)
        self._session = session
        self._waiting.begin(call, sockets.heard_at(main))
        self._roster = Roster(self._settings.channels)
        session.sources.append(main)
        return session

    def _departed(self, departure: Departure) -> None:
        """A connection that was no main yet was closed by its peer."""
        call, session = departure.call, self._session
        if session is not None:
            self._waiting.remember(departure)
            if not session.gathered.is_set():
                gathering.miss(session, self._waiting.gone())
            return
        main = mother(call, self._lobby.silent) if departure.channel else None
        if main is None:
            self._waiting.remember(departure)
            return
        # its source may not know and keep main open; what it waits for cannot come any more
        gathering.miss(self._enter(self._lobby.take(main), main), [departure])

    def _take_waiting(self, session: Session) -> None:
        for channel in self._waiting.take():
            self._add_channel(session, channel)

    def _take_early(self, session: Session) -> None:
        ids = self._roster.ids
        for channel in self._waiting.take_early(ids):
            self._add_channel(session, channel)

    def _add_channel(self, session: Session, arrival: MultifdArrival) -> None:
        advice = ": pass --channels"
        if not gathering.admit(session, self._roster, arrival, self._waiting.main, advice):
            return
        sockets.tune(arrival.sock, self._settings.stall_timeout)
        channel = MultifdChannel(session, arrival.sock, arrival.initial, self._watch)
        session.start(channel.name, channel.run, channel.farewell)

    def _watch(self, destination: socket.socket, name: str) -> None:
        """Called by a channel's thread once it is connected onwards."""
        self._loop.call(partial(self._watch_destination, destination, name))

    def _watch_destination(self, destination: socket.socket, name: str) -> None:
        if destination.fileno() >= 0:
            gone = partial(self._destination_gone, destination, name)
            self._loop.add(destination.fileno(), HUNG_UP, gone)

    def _destination_gone(self, destination: socket.socket, name: str) -> None:
        """A channel's far end closed: the normal end, or the loss of everything on it."""
        self._loop.remove(destination.fileno())
        session = self._session
        # after ram's END it is the normal end
        if session is not None and session.gate.gated and session.phase < Phase.SWITCHOVER:
            session.fail(MigrationFailed(f"{name}: the destination closed the connection"))

    # --- one migration

    def _carry(self, session: Session) -> RelayResult:
        """Watch over a migration until it has ended and nothing of it is left."""
        governor = session.governor()
        farewell: Patience | None = None
        next_look = time.monotonic() + _STEP
        watch = StallWatch(session)
        looks = 0
        while session.running() and not session.over.is_set():
            self._loop.step(0.02 if session.phase != Phase.CARRYING else _STEP)
            gathering.gather(session, self._lobby, self._roster, partial(self._take_early, session))
            session.look_back()
            if session.phase == Phase.CONFIRMED:
                farewell = farewell or Patience(_FAREWELL)
                if farewell.over:
                    session.tell_if_unheard()
                    break
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + _STEP
                self._lobby.expire()
                self._waiting.expire()
                watch.look()
                governor.adjust()
                looks += 1
                if looks % _MEMORY_LOOKS == 0:
                    self._pss = max(self._pss, memory.proportional())
                self._observer.progress(session.tally.snapshot(session.gate.passed))
        return self._end(session)

    def _end(self, session: Session) -> RelayResult:
        self._pss = max(self._pss, memory.proportional())
        for sock in session.destinations:
            self._loop.remove(sock.fileno())
        completed = session.phase == Phase.CONFIRMED
        if completed:
            session.part()
        else:
            session.fail(MigrationFailed("every connection ended early"), final=True)
            session.tear_down()
        session.close()
        self._session = None
        self._waiting.ended(self._lobby.accepted, failed=not completed)
        session.engines.tell_troubles()
        result = self._result(session, completed)
        self._observer.progress(result.counters)
        self._observer.finished(result)
        return result

    def _result(self, session: Session, completed: bool) -> RelayResult:
        error = session.error
        return RelayResult(
            completed=completed,
            error=str(error) if error else "",
            exit_code=error.exit_code if error else 0,
            method_in=session.method_in,
            method_out=self._settings.method,
            level=self._settings.level,
            backend=session.backend,
            channels=len(self._roster.ids),
            gated=session.gate.gated,
            max_rss_bytes=memory.peak_resident(),
            max_pss_bytes=self._pss,
            counters=session.tally.snapshot(session.gate.passed),
        )

    def _close(self) -> None:
        self._lobby.close()
        self._waiting.close()
        if self._session is not None:
            self._session.fail(_cancelled(self._session, "the relay ended"), final=True)
            self._end(self._session)
        self._loop.close()
        self._listener.close()


def _cancelled(session: Session, reason: str) -> Cancelled:
    """With where the guest is, as far as a relay knows: before ram's END no other can start."""
    if session.phase == Phase.SWITCHOVER:
        return Cancelled(f"cancelled in the switchover: {reason}; see which QEMU runs the guest")
    return Cancelled(f"cancelled: {reason}; the guest runs on at the source")

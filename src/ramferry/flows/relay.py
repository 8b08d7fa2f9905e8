"""The relay: takes QEMU's migration stream in by any method, and sends it on by any method.

It is an inlet and an outlet, joined by pages; ``docs/decisions`` has the rules that they keep. One
thread accepts connections and watches all migrations, and every channel has its own thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Protocol

from ramferry.flows.carriage import Carriage
from ramferry.flows.inlet import watching
from ramferry.flows.inlet.admission import Admission
from ramferry.flows.inlet.arrivals import Arrivals
from ramferry.flows.inlet.callers import MainArrival, MultifdArrival
from ramferry.flows.inlet.streams import Streams
from ramferry.flows.passage import Passage
from ramferry.flows.peer.reception import reception_of
from ramferry.flows.relay_check import check_settings
from ramferry.flows.respite import Respite
from ramferry.flows.session.loop import Loop
from ramferry.flows.session.session import Session
from ramferry.flows.session.turns import Turns
from ramferry.flows.settings import RelaySettings
from ramferry.metrics import RelayResult
from ramferry.metrics.notes import as_note
from ramferry.transport.connection import Connection
from ramferry.transport.listening import Listener
from ramferry.transport.security import Security
from ramferry.transport.sharing import SharedWire


class RelayObserver(watching.Observer, Protocol):
    """Receives progress, notes and each migration's result."""

    def failing(self, migration: str, error: str) -> None:
        """Called when a migration has failed whose source keeps its connections for now; see
        ``RelaySettings.hold_source``.

        :param migration: its id.
        :param error: the sentence of its error.
        """

    def finished(self, result: RelayResult) -> None:
        """Called when a migration has completed or failed."""


class Relay:
    """Listens at one address, and carries migrations to another address: one after another, or
    several at a time."""

    _once = False
    _result: RelayResult | None = None
    """How the last migration ended."""

    def __init__(self, settings: RelaySettings, observer: RelayObserver) -> None:
        check_settings(settings)
        self._settings = settings
        self._observer = observer
        self._listener = Listener(settings.listen, security=settings.security, note=observer.note)
        self._loop = Loop()
        self._leaving = False
        """True once it is to end, after what it owes."""
        self._draining = False
        """The same, after what is under way as well."""
        self._stopping = False
        """True once it ends, whatever it owes."""
        self._switched = False
        """Whether ram's END had come of the migration that ended last."""
        shared = self._several and bool(settings.max_bandwidth)
        self._wire = SharedWire(settings.max_bandwidth) if shared else None
        """The cap that several migrations share; None if there is none, or one migration."""
        self._turns = Turns()
        self._carriages: dict[Session, Carriage] = {}
        """The migrations under way."""
        self._endings: dict[Session, threading.Thread] = {}
        """Threads that end migrations which are over."""
        self.arrivals = self._open()

    def _open(self) -> Arrivals:
        """Begin to accept."""
        settings, note = self._settings, self._observer.note
        at_once, limit = settings.any_stream, settings.max_migrations
        carried = settings.to_ramferry or settings.from_ramferry
        return Arrivals(
            self._loop,
            self._listener,
            self,
            note,
            settings.channels,
            advice=": pass --channels",
            reception=reception_of(
                settings, note, self._busy, limit=limit, streams=True, at_once=at_once
            ),
            admission=Admission(
                limit, ": --max-migrations allows more", Streams(carried=carried, at_once=at_once)
            ),
        )

    def run(self, *, once: bool = False) -> RelayResult | None:
        """Carry migrations until ``stop``; with ``once``, carry one and return how it ended, after
        a far end that may have to ask for that has done so."""
        self._once = once
        self._observer.listening(self._listener.address)
        expires = watching.Every(watching.STEP)
        try:
            while self._goes_on:
                self._loop.step(min(self._paces(), default=watching.STEP))
                self.arrivals.gather()
                for carriage in list(self._carriages.values()):
                    self._watch(carriage)
                if expires.due:
                    self.arrivals.expire()
        finally:
            self._close()
        return self._result

    @property
    def _goes_on(self) -> bool:
        if self._carriages or self._endings:
            return True
        return not self._stopping and not (self._through and not self.arrivals.owes)

    def _paces(self) -> Iterable[float]:
        return (one.watch.pace for one in self._carriages.values())

    @property
    def _several(self) -> bool:
        return self._settings.max_migrations > 1

    @property
    def _done(self) -> bool:
        return self._once and self._result is not None

    @property
    def _through(self) -> bool:
        return self._done or self._leaving or self._draining

    def stop(self, reason: str) -> None:
        """End the relay; safe from a signal handler. If a switchover is under way, it is let
        finish, and a far end that may have to ask how is waited for; a second call ends that."""
        self._loop.call(partial(self._stop, reason))

    def leave(self, reason: str) -> None:
        """End the relay because whoever started it has gone; safe from a signal handler.

        As ``stop``, but once ram's END has come, a far end that may have to ask how the switchover
        ended is waited for, also if that is over already. A second call changes nothing.
        """
        self._loop.call(partial(self._leave, reason))

    def call(self, function: Callable[[], None]) -> None:
        """Have ``function`` called in the thread that runs this relay; safe from any thread and
        signal handler."""
        self._loop.call(function)

    def when_turned(self, function: Callable[[], None]) -> None:
        """Have ``function`` called in the thread that runs this relay, several times a second for
        as long as that thread gets on."""
        self._loop.turned = function

    def drain(self) -> bool:
        """Take no new migration, and end once those under way have ended, after a far end that may
        have to ask how has done so; called in the thread that runs this relay.

        :return: whether one is under way. ``stop`` ends it sooner.
        """
        self._draining = self.arrivals.ending = True
        return bool(self._carriages or self._endings)

    def renew(self, security: Security) -> None:
        """Use other credentials for connections that come from now on and for migrations that begin
        from now on; called in the thread that runs this relay.

        :raise UsageError: they lack a certificate, or OpenSSL cannot use one; nothing has changed.
        """
        security.check_connect(self._settings.connect)
        self._listener.renew(security)
        self._settings = replace(self._settings, security=security)

    def watch_parent(self, fd: int) -> None:
        """Have the relay ``leave`` when the reader of pipe ``fd`` is gone; if ``fd`` is a file, do
        nothing."""
        self._loop.when_reader_gone(fd, partial(self._leave, "its reader is gone"))

    def _leave(self, reason: str) -> None:
        if not self._leaving:
            self._leaving = self.arrivals.ending = True
            ending = [one for one in self._carriages.values() if one.session.ending]
            asked = self.arrivals.owes and self._switched
            self._stopping = not ending and not asked
            for one in self._carriages.values():
                if one not in ending or one.switches:
                    one.stop(reason, again=False)

    def _stop(self, reason: str) -> None:
        again, self._leaving = self._leaving, True
        self.arrivals.ending = True
        ended = [one.stop(reason, again=again) for one in self._carriages.values()]
        self._stopping = all(ended)

    def _busy(self) -> str:
        """Why no migration can be taken now; called in any thread."""
        under_way = [one for one in self.arrivals.sessions if not one.over.is_set()]
        if len(under_way) >= self._settings.max_migrations:
            return (
                f"{len(under_way)} migrations are under way, as many as its --max-migrations allows"
                if self._several
                else "another migration is under way: its --max-migrations allows more"
            )
        if self._leaving or self._draining:
            return "it is about to end"
        return "it has carried its one migration" if self._done else ""

    # --- as the house of its arrivals

    def enter(self, source: Connection) -> Session:
        """See ``House``."""
        lane = self._wire.lane() if self._wire else None
        note = self._observer.note

        def marked(text: str) -> None:
            note(as_note(text).behind(f"migration {passage.session.tally.migration}: "))

        passage = Passage(
            *(self._settings, source, self._loop, marked if self._several else note),
            *(self._turns, lane),
        )
        session, tell = passage.session, self._observer.failing
        respite = Respite(session, self._settings.hold_source, tell)
        self._carriages[session] = Carriage(passage, self._observer, respite)
        return session

    def main(self, session: Session, arrival: MainArrival) -> None:
        """See ``House``."""
        self._carriages[session].passage.main(arrival)

    def channel(self, session: Session, arrival: MultifdArrival) -> None:
        """See ``House``."""
        self._carriages[session].passage.channel(arrival)

    # --- a migration's end

    def _watch(self, carriage: Carriage) -> None:
        """Look at a migration, and end it once it is over and its source has had its respite."""
        if carriage.watch.on:
            carriage.watch.step()
        if not carriage.watch.on and (self._leaving or not carriage.respite.lasts()):
            self._end(carriage)

    def _end(self, carriage: Carriage) -> None:
        session = carriage.session
        carriage.channels = self.arrivals.channels(session)
        if not self._several:
            carriage.end(partial(self._ended, carriage))
            return
        # its late channels are told by that it is over, before its connections end
        self._over(carriage, failed=session.failed)

        def done(result: RelayResult) -> None:
            self._loop.call(partial(self._ended, carriage, result))

        self._endings[session] = carriage.end_aside(done)

    def _over(self, carriage: Carriage, *, failed: bool) -> None:
        session = carriage.session
        self.arrivals.over(session, failed=failed)
        self._switched = session.ending
        del self._carriages[session]

    def _ended(self, carriage: Carriage, result: RelayResult) -> None:
        """Nothing is left of a migration."""
        session = carriage.session
        self._result = result
        if session in self._carriages:
            self._over(carriage, failed=not result.completed)
        self._endings.pop(session, None)
        self.arrivals.dismiss(session)
        self._observer.progress(result.counters)
        self._observer.finished(result)

    def _close(self) -> None:
        self.arrivals.close()
        for carriage in list(self._carriages.values()):
            carriage.fail("the relay ended")
            carriage.channels = self.arrivals.channels(carriage.session)
            carriage.end(partial(self._ended, carriage))
        for thread in self._endings.values():
            thread.join()
        self._loop.close()
        self._listener.close()

"""The relay: takes QEMU's migration stream in by any method, and sends it on by any method.

It is an inlet and an outlet, joined by pages; ``docs/decisions`` has the rules that they keep. One
thread accepts connections and watches, and every channel has its own thread.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from ramferry.codec import create_decoder, create_encoder
from ramferry.errors import RamferryError
from ramferry.flows.inlet import watching
from ramferry.flows.inlet.arrivals import Arrivals
from ramferry.flows.inlet.callers import MainArrival, MultifdArrival
from ramferry.flows.inlet.streams import Streams
from ramferry.flows.outcome import cancelled
from ramferry.flows.passage import Passage
from ramferry.flows.peer.reception import reception_of
from ramferry.flows.session.loop import Loop
from ramferry.flows.session.session import Phase, Session
from ramferry.flows.settings import RelaySettings
from ramferry.metrics import RelayResult
from ramferry.transport.connection import Connection
from ramferry.transport.listening import Listener
from ramferry.transport.security import IN_THIS_HOST
from ramferry.vocabulary import REQUIRE


class RelayObserver(watching.Observer, Protocol):
    """Receives progress, notes and each migration's result."""

    def finished(self, result: RelayResult) -> None:
        """Called when a migration has completed or failed."""


class Relay:
    """Listens at one address, and carries one migration after another to another address."""

    _once = False
    _result: RelayResult | None = None
    """How the last migration ended."""

    def __init__(self, settings: RelaySettings, observer: RelayObserver) -> None:
        _check(settings)
        self._settings = settings
        self._observer = observer
        self._listener = Listener(settings.listen, security=settings.security, note=observer.note)
        self._loop = Loop()
        self._leaving = False
        """True once it is to end, after what it owes."""
        self._stopping = False
        """True once it ends, whatever it owes."""
        self._passage: Passage
        """The migration under way, or the last one."""
        self.arrivals = Arrivals(
            self._loop,
            self._listener,
            self,
            observer.note,
            settings.channels,
            advice=": pass --channels",
            reception=reception_of(
                settings,
                observer.note,
                self._busy,
                streams=True,
                at_once=settings.any_stream,
            ),
            streams=Streams(
                carried=settings.to_ramferry or settings.from_ramferry, at_once=settings.any_stream
            ),
        )

    def run(self, *, once: bool = False) -> RelayResult | None:
        """Carry migrations until ``stop``; with ``once``, carry one and return how it ended, after
        a far end that may have to ask for that has done so."""
        self._once = once
        self._observer.listening(self._listener.address)
        try:
            while not self._stopping and not (self._through and not self.arrivals.owes):
                self._loop.step(watching.STEP)
                self.arrivals.expire()
                if self.arrivals.session is not None:
                    self._result = self._carry(self._passage)
        finally:
            self._close()
        return self._result

    @property
    def _done(self) -> bool:
        return self._once and self._result is not None

    @property
    def _through(self) -> bool:
        return self._done or self._leaving

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

    def watch_parent(self, fd: int) -> None:
        """Have the relay ``leave`` when the reader of pipe ``fd`` is gone; if ``fd`` is a file, do
        nothing."""
        self._loop.when_reader_gone(fd, partial(self._leave, "its reader is gone"))

    def _leave(self, reason: str) -> None:
        session = self.arrivals.session
        waits = session is not None and session.phase == Phase.SWITCHOVER
        if not self._leaving and (waits or not self._switches):
            self._stop(reason)
        self._leaving = True

    @property
    def _switches(self) -> bool:
        """Whether a switchover is under way, for this relay or for a far end that may ask."""
        if self.arrivals.session is None and not self.arrivals.owes:
            return False
        return self._passage.session.ending

    def _stop(self, reason: str) -> None:
        again, self._leaving = self._leaving, True
        session = self.arrivals.session
        if session is None:
            self._stopping = True
            return
        if session.phase == Phase.SWITCHOVER and not again:
            again_does = "leave it undecided" if session.holds else "cut the connections"
            self._observer.note(
                "the switchover has begun and only the destination can end it: waiting for its "
                f"answer (signal again to {again_does})"
            )
            return
        self._stopping = True
        session.fail(cancelled(session, reason), final=again)

    def _busy(self) -> str:
        """Why no migration can be taken now; called in any thread."""
        session = self.arrivals.session
        if session is not None and not session.over.is_set():
            return "another migration is under way"
        if self._leaving:
            return "it is about to end"
        return "it has carried its one migration" if self._done else ""

    # --- as the house of its arrivals

    def enter(self, source: Connection) -> Session:
        """See ``House``."""
        self._passage = Passage(self._settings, source, self._loop, self._observer.note)
        return self._passage.session

    def main(self, arrival: MainArrival) -> None:
        """See ``House``."""
        self._passage.main(arrival)

    def channel(self, arrival: MultifdArrival) -> None:
        """See ``House``."""
        self._passage.channel(arrival)

    # --- one migration

    def _carry(self, passage: Passage) -> RelayResult:
        """Watch over a migration until it has ended and nothing of it is left."""
        governor = passage.outlet.governor()
        if not watching.watch(
            passage.session, self.arrivals, self._loop, governor, self._observer, passage.look
        ):
            passage.unheard()
        return self._end(passage)

    def _end(self, passage: Passage, error: RamferryError | None = None) -> RelayResult:
        result = passage.end(self.arrivals.gathered, error)
        self.arrivals.ended(failed=not result.completed)
        self._observer.progress(result.counters)
        self._observer.finished(result)
        return result

    def _close(self) -> None:
        session = self.arrivals.session
        self.arrivals.close()
        if session is not None:
            self._end(self._passage, cancelled(session, "the relay ended"))
        self._loop.close()
        self._listener.close()


def _check(settings: RelaySettings) -> None:
    """Find the caller's errors, and a device that is required and not there, before anything
    listens.

    :raise UsageError: a wrong method or level, or a destination that the policy does not allow.
    :raise HostError: there is no such device.
    """
    create_encoder(
        settings.method,
        settings.level,
        page_size=settings.page_size,
        accelerator=settings.accelerator,
        member_size=settings.member_size,
    )
    if settings.accelerator == REQUIRE:
        create_decoder("qatzip", accelerator=REQUIRE)
    (settings.security or IN_THIS_HOST).check_connect(settings.connect)

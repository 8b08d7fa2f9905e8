"""The receiver: a live migration from a real QEMU ends here, in a sink.

It keeps the rules that a destination QEMU keeps: at a mark it waits for one SYNC of every channel,
and it tells the source of its guest's arrival only when the sink has it. A fault before that resets
every connection, so that the source fails the migration and its guest goes on. A source that is a
Ramferry may lose its connections in the switchover, and ask how that ended (``linger``).
"""

from __future__ import annotations

from functools import partial

from ramferry.errors import Cancelled, RamferryError
from ramferry.flows.contracts import Sink
from ramferry.flows.ends.intake import Intake
from ramferry.flows.ends.sink_channel import SinkChannel
from ramferry.flows.ends.sink_main import PATIENCE, SinkMain
from ramferry.flows.inlet import watching
from ramferry.flows.inlet.arrivals import Arrivals
from ramferry.flows.inlet.callers import MainArrival, MultifdArrival
from ramferry.flows.inlet.channel import ChannelInlet
from ramferry.flows.inlet.judge import RECEIVED
from ramferry.flows.inlet.main import MainInlet
from ramferry.flows.outcome import receive_result
from ramferry.flows.peer.reception import reception_of
from ramferry.flows.session.loop import Loop
from ramferry.flows.session.session import Session
from ramferry.flows.settings import ReceiveSettings
from ramferry.metrics import ReceiveResult
from ramferry.transport.connection import Connection
from ramferry.transport.listening import Listener


class Receiver:
    """Listens at one address and takes one migration into a sink."""

    _stopping = False
    _closed = False

    def __init__(self, settings: ReceiveSettings, sink: Sink, observer: watching.Observer) -> None:
        """Listen; ``run`` accepts connections.

        :raise UsageError: ``settings.security`` does not allow the address.
        :raise HostError: the address is in use, or this process may not use it.
        """
        self._settings = settings
        self._observer = observer
        self._loop = Loop()
        self._listener = Listener(settings.listen, security=settings.security, note=observer.note)
        self.session = Session(settings, observer.note, self._loop.wake)
        """The one migration."""
        # a step of the watch that began before would last up to 250 ms more
        self._intake = Intake(self.session, settings, sink, self._loop.wake)
        self._arrivals = Arrivals(
            self._loop,
            self._listener,
            self,
            observer.note,
            settings.channels,
            reception=reception_of(settings, observer.note, self._busy),
        )

    def run(self) -> ReceiveResult:
        """Take one migration in, until it has completed or failed.

        After that nothing listens any more, unless the source may have to ask how it ended: call
        ``linger`` then.
        """
        self._observer.listening(self._listener.address)
        session = self.session
        try:
            while self._arrivals.session is None and not session.over.is_set():
                self._loop.step(watching.STEP)
                self._arrivals.expire()
            governor = self._intake.governor()
            # also of a migration that is over at once it is to be known that it was under way
            watched = watching.Watch(session, governor, self._observer, at_once=True)
            watching.watch(watched, self._arrivals, self._loop)
        finally:
            self._end()
        return receive_result(session, self._intake.machine, self._arrivals.gathered)

    def linger(self) -> None:
        """Answer a source that asks how the migration ended, after ``run``: until it has said that
        it knows, for ``decide`` seconds, or until ``stop``."""
        try:
            while self._arrivals.owes and not self._stopping and not self._closed:
                self._loop.step(watching.STEP)
                self._arrivals.expire()
        finally:
            self._close()

    def stop(self, reason: str) -> None:
        """Cancel; safe from any thread and signal handler.

        Once the sink's ``commit`` has begun it is too late: the migration completes, as the result
        says.
        """
        self._loop.call(partial(self._stop, Cancelled(f"cancelled: {reason}")))

    def _stop(self, error: Cancelled) -> None:
        self._stopping = True
        self.session.fail(error)

    @property
    def error(self) -> RamferryError | None:
        """Why it ended early; None if it did not, or has not ended."""
        return self.session.error

    def _busy(self) -> str:
        """Why no migration can be taken now; called in any thread."""
        return "" if self._arrivals.session is None else "it has taken one already"

    # --- as the house of its arrivals

    def enter(self, source: Connection) -> Session:
        """See ``House``."""
        del source
        return self.session

    def main(self, session: Session, arrival: MainArrival) -> None:
        """See ``House``."""
        settings, source = self._settings, arrival.connection
        source.settle(settings.stall_timeout, piece=PATIENCE if settings.threads else None)
        sink = SinkMain(self._intake, source)
        inlet = MainInlet(session, source, arrival.first, sink, RECEIVED, give_pages=True)
        session.start("main", partial(_carried, inlet, sink))

    def channel(self, session: Session, arrival: MultifdArrival) -> None:
        """See ``House``."""
        source = arrival.connection
        source.settle(self._settings.stall_timeout)
        sink = SinkChannel(self._intake, arrival.initial)
        inlet = ChannelInlet(session, source, arrival.initial, sink, arrival.seal)
        session.start(inlet.name, inlet.run)

    # --- its end

    def _end(self) -> None:
        session = self.session
        session.end()
        if self._arrivals.session is not None:
            self._arrivals.ended_for_good()
        if not self._arrivals.owes:
            self._close()
        session.engines.tell_troubles()
        if session.error is not None:
            self._intake.sink.abort(session.error)

    def _close(self) -> None:
        """Stop listening, and end what is left of the connections."""
        if self._closed:
            return
        self._closed = True
        self._arrivals.close()
        self._loop.close()
        self._listener.close()


def _carried(inlet: MainInlet, sink: SinkMain) -> None:
    try:
        inlet.run()
    finally:
        sink.close()

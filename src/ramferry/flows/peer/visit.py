"""One migration that another Ramferry brings, as the side that accepts knows it."""

from __future__ import annotations

import threading
from functools import partial
from typing import Final

from ramferry.errors import MigrationFailed, RamferryError, RemoteProtocolError
from ramferry.flows.choosing.load import LoadGauge
from ramferry.flows.peer.agreement import UNVERIFIED
from ramferry.flows.peer.control import Control
from ramferry.flows.peer.framed import Framed
from ramferry.flows.peer.known import known_of
from ramferry.flows.peer.rounds import Rounds
from ramferry.flows.peer.stream import Tunnel
from ramferry.flows.session.account import uuid_of
from ramferry.flows.session.session import Phase, Session
from ramferry.metrics.agreement import Agreement
from ramferry.patience import Patience
from ramferry.transport.connection import Connection
from ramferry.wire.digests import LINK, SealReader
from ramferry.wire.relay_frames import NO_DIGEST
from ramferry.wire.relay_messages import Ask, Connected, Failed, Message, Outcome, Told, failed
from ramferry.wire.relay_opening import Place
from ramferry.wire.relay_stream import Direction

MAIN_WITHIN: Final = 30.0
"""Seconds after the hellos within which main has to come, besides those for the outcome."""
LEFT_WITHIN: Final = 5.0
"""The same after the end of control: main may be in the listener's queue by then."""


class Visit:
    """The near end of a migration whose far end is a Ramferry that connected here."""

    stream_told = ""
    """What the far end has said of a stream that is no migration, as ``Hello.stream``."""
    origin = ""
    """Who has connected: a host's address, or a process of this host."""
    _tunnel: Tunnel | None = None
    """What comes in place of main, once all of its connections have."""
    _count = 0
    """How many connections that has; 0 before one has come."""
    _too_late = False
    """True once the far end was told that main has not come and will not be taken."""
    _said = False
    """True once the far end was told of a failure, or told one."""
    _load: LoadGauge | None = None

    def __init__(
        self,
        control: Control,
        token: bytes,
        agreed: Agreement,
        decide: float = 0.0,
        method: str = "",
    ) -> None:
        """
        :param control: belongs to this object from now on; both hellos were exchanged.
        :param decide: seconds in which the far end may ask for the outcome of a switchover.
        :param method: what the far end sends, and a tunnel's way back.
        """
        self.token = token
        self.agreed = agreed
        self._rounds = Rounds(token, SealReader) if agreed.digest else None
        self._control = control
        self._session: Session | None = None
        self._method = method or "none"
        self._main: Framed | None = None
        self._streams: dict[int, Connection] = {}
        """A tunnel's connections that have come, by their places."""
        self._told: RamferryError | None = None
        """The far end's own failure."""
        self._sign = threading.Event()
        """Set once the far end has said that it gave up, or that its main broke, or control has
        ended."""
        self._settled = False
        """True once the far end needs to ask no more."""
        self._spoilt: RamferryError | None = None
        """Why it cannot begin: one of its connections was refused."""
        self._left: Patience | None = None
        """Since the far end has ended control; None while it has not, or has come back to it."""
        self._waits = Patience(MAIN_WITHIN + decide)
        self._lock = threading.Lock()

    @property
    def stale(self) -> bool:
        """True if its main has not come, and is not waited for any more: it was given up, its far
        end has gone, or it took too long."""
        left = self._left is not None and self._left.over
        return not self.begun and (self._told is not None or left or self._waits.over)

    @property
    def uuid(self) -> str:
        """The guest's UUID; empty while it is not known."""
        return uuid_of(self._session) if self._session is not None else ""

    @property
    def begun(self) -> bool:
        """True once its main has come."""
        return self._session is not None

    @property
    def owes(self) -> bool:
        """True while the far end may ask how the switchover ended."""
        return self.begun and self.agreed.answers and not self._settled

    @property
    def switches(self) -> bool:
        """True if ram's END has come, or may have, so that the source's guest may stand still."""
        session = self._session
        return session is not None and (session.ending or session.switched or not session.sighted)

    def listen(self) -> None:
        """Begin to hear what the far end says."""
        self._control.listen(partial(self._take, self._control))

    def resume(self, control: Control) -> None:
        """Use another control connection, which belongs to this object from now on; the former one
        is ended."""
        with self._lock:
            former, self._control, self._left = self._control, control, None
        control.listen(partial(self._take, control))
        former.close()

    def outcome(self) -> Outcome:
        """How the switchover has ended, as far as it is known here."""
        session = self._session
        if session is None:
            return Outcome("not taken" if self._too_late else "pending", "main has not come")
        return known_of(session)

    def main(self, connection: Connection) -> Framed:
        """Take main's connection: returns it without its frames.

        :raise RemoteProtocolError: it has come already.
        """
        if self._main is not None or self._count:
            raise RemoteProtocolError("one main", "another one", channel="main")
        self._main = Framed(connection)
        return self._main

    def stream(self, connection: Connection, place: Place) -> Tunnel | None:
        """Take one of a tunnel's connections: returns the tunnel, which owns them, once all have
        come.

        :raise RemoteProtocolError: it is none that was agreed on, or has come already.
        """
        if not self.agreed.streams or self._main is not None:
            raise RemoteProtocolError("main as it was agreed on", "a tunnel", channel="main")
        name = f"stream {place.index}"
        if self._count not in (0, place.count) or place.index in self._streams:
            expected = f"each of {self._count} connections once"
            raise RemoteProtocolError(expected, f"{place.index} of {place.count}", channel=name)
        self._count = place.count
        self._streams[place.index] = connection
        if len(self._streams) < place.count:
            return None
        self._tunnel = Tunnel(
            [self._streams[index] for index in range(place.count)],
            self.token,
            Direction.BACK,
            method=self._method,
            verify=bool(self.agreed.digest),
        )
        return self._tunnel

    @property
    def channels(self) -> int | None:
        """How many multifd channels the migration has; None before main's first mark has come, or
        if the far end does not know."""
        return (self._main.channels or None) if self._main is not None else None

    def refuse(self, error: RamferryError) -> None:
        """One of its connections was refused for this reason, so it fails, unless it has all of
        them already."""
        if self._session is None or not self._session.gathered.is_set():
            self._fail(error)

    def seal(self, channel: int) -> SealReader | None:
        """The digests of a channel that comes; None if none are agreed.

        :raise RemoteProtocolError: it has come already.
        """
        return None if self._rounds is None else self._rounds.channel(channel)

    def begin(self, session: Session) -> None:
        """The migration begins."""
        with self._lock:
            self._session = session
        session.check_mark = self.check_mark
        session.agreed_in = self.agreed
        session.tally.migration = self.agreed.migration or session.tally.migration
        if session.settings.verify and not self.agreed.digest:
            session.note(UNVERIFIED)
        session.when_failed(self._tell)
        if self._tunnel is not None:
            self._tunnel.start(session)
        if self.agreed.answers:
            session.source_gave_up = self._gave_up
        if self._told is not None:
            session.fail(self._told)
        if self._spoilt is not None:
            session.fail(self._spoilt)
        if self._too_late:
            session.fail(MigrationFailed("main came after its far end was told that it had not"))

    def check_mark(self, index: int) -> None:
        """Compare what came before a mark with what the far end says it sent. Called after every
        channel's SYNC of that mark has come, before the mark is let go.

        :raise RemoteProtocolError: they differ.
        """
        assert self._session is not None
        if self._tunnel is not None or self._rounds is None or not self._session.gate.gated:
            return  # a tunnel has no channels beside it, and checks every piece
        assert self._main is not None
        announced = self._main.mark(index)
        if announced is None:
            raise RemoteProtocolError(
                f"the digest that was agreed, before sync mark {index}", "none", channel="main"
            )
        if announced != NO_DIGEST and announced != self._rounds.digest(index):
            raise RemoteProtocolError(
                f"all packets before sync mark {index} as they were sent",
                f"others: {LINK}",
                channel="main",
            )

    def tell_load(self) -> None:
        """Tell the far end how busy this one is, if it wants to know, and it is time to."""
        session = self._session
        if session is None or not self.agreed.loads or session.phase is not Phase.CARRYING:
            return
        self._load = self._load or LoadGauge(session, self.token)
        if (load := self._load.due()) is not None:
            self._control.offer(load)

    def connected(self) -> None:
        """The destination has a stream that says nothing: its far end may send the next."""
        if self.agreed.order:
            self._control.say(Connected())

    def close(self) -> None:
        """End the control connection."""
        with self._lock:
            control = self._control
        control.close()

    def _gave_up(self, seconds: float) -> bool:
        """See ``Session.source_gave_up``."""
        self._sign.wait(seconds)
        return self._told is not None

    def _take(self, control: Control, message: Message | None) -> None:
        if isinstance(message, Ask):
            if message.cut:
                self._cut_off()
            control.say(self.outcome())
        elif isinstance(message, Told):
            self._settled = True
        elif isinstance(message, Failed):
            self._told = MigrationFailed(f"the far end gave it up: {message.error}")
            self._sign.set()
            if self._session is not None:
                self._session.fail(self._told)
        elif message is None and control is self._control:
            self._left = Patience(LEFT_WITHIN)
            self._sign.set()
            if control.nonsense is not None:
                self._fail(control.nonsense.at("control"))

    def _cut_off(self) -> None:
        """Nothing more comes on main, which may have broken on the far side alone."""
        with self._lock:
            self._too_late = self._too_late or self._session is None  # what was told stays so
        self._sign.set()
        if (main := self._main or self._tunnel) is not None:
            main.cut()

    def _fail(self, error: RamferryError) -> None:
        """It fails, or will as soon as it begins."""
        with self._lock:
            session = self._session
            if session is None:
                self._spoilt = self._spoilt or error
        if session is None:
            self._tell(error)
        else:
            session.fail(error)

    def _tell(self, error: RamferryError) -> None:
        with self._lock:
            first = not self._said and error is not self._told
            self._said = True
        if first:
            self._control.say(failed(error))

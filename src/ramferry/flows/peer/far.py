"""The far Ramferry, as the side that connects knows it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from ramferry.errors import (
    MethodUnavailable,
    MigrationFailed,
    PeerUnreachable,
    RamferryError,
    RemoteProtocolError,
    of_exit_code,
)
from ramferry.flows.peer.agreement import UNVERIFIED, agree, own_hello
from ramferry.flows.peer.asking import Asking
from ramferry.flows.peer.control import Control
from ramferry.flows.peer.framed import Framed
from ramferry.flows.peer.guardian import Will
from ramferry.flows.peer.rounds import Rounds
from ramferry.flows.peer.stream import Tunnel
from ramferry.flows.session.session import Session
from ramferry.metrics.agreement import Agreement
from ramferry.patience import Patience
from ramferry.transport.address import RelayAddress
from ramferry.transport.connection import Connection
from ramferry.transport.security import Security
from ramferry.vocabulary import AUTO
from ramferry.wire.digests import Sealer
from ramferry.wire.packets import Initial
from ramferry.wire.relay_frames import NO_DIGEST
from ramferry.wire.relay_messages import Connected, Failed, Hello, Load, Message, failed
from ramferry.wire.relay_opening import Kind, Opening, Place
from ramferry.wire.relay_stream import Direction

LAST_WORD: Final = 3.0
"""Seconds that the far end's word is waited for after a connection to it broke; it says it before
it ends its connections, on another one than those, within milliseconds unless its host is busy."""
_LOOK: Final = 0.05


class Far:
    """The far end of one migration, after both have said hello."""

    _begun = False
    """True once main, or a tunnel in its place, was opened."""
    load: tuple[Load, float] | None = None
    """What it told last of how busy it is, and when that came, by ``time.monotonic``."""

    def __init__(
        self,
        session: Session,
        address: RelayAddress,
        control: Control,
        token: bytes,
        agreed: Agreement,
        resume: Callable[[], Connection],
        method: str,
    ) -> None:
        """
        :param control: belongs to this object from now on.
        :param resume: makes a connection in place of control, if that breaks.
        :param method: that will be sent.
        """
        self._session = session
        self._address = address
        self._control = control
        self.token = token
        self.agreed = agreed
        self.asking = Asking(resume, token, session.settings.decide, control)
        """Asks the far end how the switchover has ended; of use only if that is agreed."""
        self._rounds = Rounds(token, Sealer) if agreed.digest else None
        self._method = method
        self._main: Framed | None = None
        self._word: RamferryError | None = None
        self._silent = threading.Event()
        """Set once no more messages come."""
        session.agreed_out = agreed
        if session.settings.verify and not agreed.digest:
            session.note(UNVERIFIED)
        session.holds = agreed.answers
        session.when_failed(self._tell)
        control.listen(self._take)

    @classmethod
    def greet(
        cls,
        session: Session,
        address: RelayAddress,
        connection: Connection,
        method: str,
        resume: Callable[[], Connection],
        shown: str | None = None,
        *,
        loads: bool = False,
    ) -> Far:
        """Exchange hellos on a connection, which belongs to the result.

        :param method: that will be sent.
        :param resume: makes another connection to the address, within a few seconds.
        :param shown: the subject of the certificate that this side showed; None: there is no TLS.
        :param loads: whether the far end is to tell how busy it is.
        :raise PeerUnreachable: what answers there is no Ramferry.
        :raise MethodUnavailable: the two cannot carry a migration together.
        """
        control = Control(connection)
        try:
            near = own_hello(
                session.settings,
                "" if method == AUTO else method,
                migration=session.tally.migration,
                stream=session.plain.told,
                loads=loads,
            )
            token, agreed = _hello(control, near, shown)
        except RamferryError as error:
            control.close()
            kind = MethodUnavailable if isinstance(error, MethodUnavailable) else PeerUnreachable
            raise kind(f"{address}: {error}") from error
        return cls(session, address, control, token, agreed, resume, method)

    def will(self, security: Security | None, *, clear: bool) -> Will:
        """What another process has to know to ask the far end in place of this one.

        :param security: with which it connects.
        :param clear: whether it can write on main's connection to the source.
        """
        return Will(self._address, security, self.token, self._session.settings.decide, clear)

    def main(self, connection: Connection) -> Framed:
        """Open main on a connection, which belongs to the result; returns it with its frames.

        :raise MigrationFailed: the connection broke.
        """
        self._open(connection, Opening(Kind.MAIN, self.token).encode())
        self._main = Framed(connection)
        return self._main

    def stream(self, connections: Sequence[Connection]) -> Tunnel:
        """Open a tunnel in place of main, if ``agreed.streams``; returns it, to be started.

        :param connections: 1 to 255, settled; they belong to the result. If this fails, they are
            closed.
        :raise MigrationFailed: one of them broke.
        """
        opening = Opening(Kind.STREAM, self.token).encode()
        for index, connection in enumerate(connections):
            place = Place(index, len(connections))
            try:
                self._open(connection, opening + place.encode())
            except MigrationFailed:
                for one in connections:
                    one.close()
                raise
        verify = bool(self.agreed.digest)
        return Tunnel(connections, self.token, Direction.ONWARD, method=self._method, verify=verify)

    def _open(self, connection: Connection, opening: bytes) -> None:
        try:
            connection.send([opening])
        except OSError as error:
            connection.close()
            raise MigrationFailed(
                f"main: the destination broke the connection: {error.strerror}"
            ) from error
        self._begun = True

    def channel(self, initial: Initial) -> tuple[bytes, Sealer | None]:
        """What a multifd channel begins with, and what seals its packets; None if no digests are
        agreed."""
        opening, raw = Opening(Kind.MULTIFD, self.token).encode(), initial.encode()
        if self._rounds is None:
            return opening + raw, None
        sealer = self._rounds.channel(initial.channel_id)
        return opening + sealer.initial(raw), sealer

    def send_mark(self, index: int, channels: int) -> None:
        """Announce a mark on main with the digest of all that was sent before it, and the number of
        channels; without them where marks are not held.

        :raise OSError: main broke.
        :raise PeerTimeout: the far end takes nothing for the stall limit.
        """
        assert self._main is not None
        held, rounds = self._session.gate.gated, self._rounds
        digest = rounds.digest(index) if rounds is not None and held else NO_DIGEST
        self._main.send_mark(index, digest, channels if held else 0)

    def cause(self, error: RamferryError | None) -> RamferryError | None:
        """Why the migration failed: the far end's word, if a broken connection is all that is known
        here; else ``error``, as the kind of error that its word was if it has answered."""
        if not isinstance(error, MigrationFailed):
            return error
        if self._session.switched:
            word = self._word if self._session.taken is False else None
            return word.reworded(str(error)) if word else error
        patience = Patience(LAST_WORD)
        while not self._silent.wait(_LOOK) and not patience.over:
            continue
        return self._word or error

    def close(self) -> None:
        """The migration has ended: say so, unless the source was told nothing, and end control."""
        if self.agreed.answers and self._begun and not self._session.held:
            self.asking.told(seek=self._session.switched)
        self.asking.close()
        self._control.close()

    def _take(self, message: Message | None) -> None:
        self.asking.hear(message)
        if message is None:
            self._silent.set()
            if (nonsense := self._control.nonsense) is not None:
                self._session.fail(nonsense.at("control"))
            self._lost_order()
            return
        if isinstance(message, Load):
            self.load = message, time.monotonic()
        elif isinstance(message, Connected):
            self._session.plain.reached()
        elif isinstance(message, Failed):
            self._word = of_exit_code(message.exit_code, f"{self._address}: {message.error}")
            self._silent.set()
            self._session.fail(self._word)

    def _lost_order(self) -> None:
        """No word of the destination comes any more: what came after a stream must not pass it."""
        plain = self._session.plain
        if self.agreed.order and plain.at_once and not plain.turn.gone:
            why = f"{self._address} was lost before the destination had the stream's connection"
            self._session.fail(MigrationFailed(why))

    def _tell(self, error: RamferryError) -> None:
        if error is not self._word and not self._session.held:
            self._control.say(failed(error))


def _hello(control: Control, near: Hello, shown: str | None) -> tuple[bytes, Agreement]:
    # if it has ended the connection already, that is found when it is heard
    control.say(near, Opening(Kind.CONTROL))
    token = control.hear_opening(shown).token
    try:
        far = control.hear_hello()
    except RemoteProtocolError as error:
        raise PeerUnreachable(f"it says hello otherwise than a Ramferry: {error}") from error
    return token, agree(near, far, receives=far)

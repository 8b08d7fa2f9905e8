"""One migration that another Ramferry brings, as the side that accepts knows it."""

from __future__ import annotations

from ramferry.errors import MigrationFailed, RamferryError, RemoteProtocolError
from ramferry.flows.peer.control import Control
from ramferry.flows.peer.framed import Framed
from ramferry.flows.peer.rounds import Rounds
from ramferry.flows.session.session import Session
from ramferry.metrics.agreement import Agreement
from ramferry.transport.connection import Connection
from ramferry.wire.digests import SealReader
from ramferry.wire.relay_messages import Failed, Message


class Visit:
    """The near end of a migration whose far end is a Ramferry that connected here."""

    def __init__(self, control: Control, token: bytes, agreed: Agreement) -> None:
        """:param control: belongs to this object from now on; both hellos were exchanged."""
        self.token = token
        self.agreed = agreed
        self._rounds = Rounds(token, SealReader) if agreed.digest else None
        self._control = control
        self._session: Session | None = None
        self._main: Framed | None = None
        self._told: RamferryError | None = None
        """The far end's own failure."""
        self.gone = False
        """True once the far end has ended its control connection."""

    @property
    def begun(self) -> bool:
        """True once its main has come."""
        return self._session is not None

    def listen(self) -> None:
        """Begin to hear what the far end says."""
        self._control.listen(self._take)

    def main(self, connection: Connection) -> Framed:
        """Take main's connection: returns it without its frames."""
        self._main = Framed(connection)
        return self._main

    def seal(self, channel: int) -> SealReader | None:
        """The digests of a channel that comes; None if none are agreed."""
        return None if self._rounds is None else self._rounds.channel(channel)

    def begin(self, session: Session) -> None:
        """The migration begins."""
        self._session = session
        session.check_mark = self.check_mark
        session.agreed_in = self.agreed
        session.when_failed(self._tell)
        if self._told is not None:
            session.fail(self._told)

    def check_mark(self, index: int) -> None:
        """Compare what came before a mark with what the far end says it sent. Called after every
        channel's SYNC of that mark has come, before the mark is let go.

        :raise RemoteProtocolError: they differ.
        """
        assert self._session is not None
        assert self._main is not None
        if self._rounds is None or not self._session.gate.gated:
            return
        announced = self._main.mark(index)
        if announced is None:
            raise RemoteProtocolError(
                f"the digest that was agreed, before sync mark {index}", "none", channel="main"
            )
        if announced != self._rounds.digest(index):
            raise RemoteProtocolError(
                f"all packets before sync mark {index} as they were sent",
                "others: the link between the hosts is to be suspected",
                channel="main",
            )

    def close(self) -> None:
        """End the control connection."""
        self._control.close()

    def _take(self, message: Message | None) -> None:
        if message is None:
            self.gone = True
        elif isinstance(message, Failed):
            self._told = MigrationFailed(f"the far end gave it up: {message.error}")
            if self._session is not None:
                self._session.fail(self._told)

    def _tell(self, error: RamferryError) -> None:
        if error is not self._told:
            self._control.say(Failed(str(error), error.exit_code))

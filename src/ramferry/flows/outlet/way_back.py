"""The way back of a plain stream on which nobody has to find an answer: bytes, up to their end."""

from __future__ import annotations

from typing import Final

from ramferry.errors import MigrationFailed, RemoteProtocolError
from ramferry.flows.outlet.forwarding import send_patiently
from ramferry.flows.session.gate import Unwind
from ramferry.flows.session.plain import LET_GO
from ramferry.flows.session.session import Phase, Session
from ramferry.transport.connection import Connection
from ramferry.transport.sockets import reason

_PIECE: Final = 64 * 1024


class WayBack:
    """Carries what comes from the destination to the source, each half ending by itself."""

    def __init__(self, session: Session, source: Connection, destination: Connection) -> None:
        self._session = session
        self._source = source
        self._destination = destination

    def run(self) -> None:
        """Carry the way back to its end, in a thread of the session."""
        buffer = memoryview(bytearray(_PIECE))
        while count := self._receive(buffer):
            send_patiently(self._source, buffer[:count], self._session.check)
        session = self._session
        if not session.plain.raw:
            self._ended()
            return
        self._source.finish()
        if session.plain.half():
            session.advance(Phase.CONFIRMED)

    def _receive(self, buffer: memoryview) -> int:
        """:raise MigrationFailed: the connection broke."""
        while True:
            self._session.check()
            try:
                count = self._destination.receive_some(buffer)
            except RemoteProtocolError as error:
                raise error.at("return path") from None
            except OSError as error:
                why = f"the destination broke the connection: {reason(error)}"
                self._fail(MigrationFailed(why))
                raise Unwind from error
            if count is not None:
                return count

    def _ended(self) -> None:
        """A destination that answers nothing has ended main: it has all, or has failed."""
        session = self._session
        if session.phase is not Phase.SWITCHOVER:
            self._fail(MigrationFailed("the destination closed main before it had all of it"))
            return
        self._source.finish()
        session.note(
            "without a return path nobody tells whether the destination has taken its guest over: "
            "see with `info status` there"
        )
        session.advance(Phase.CONFIRMED)

    def _fail(self, error: MigrationFailed) -> None:
        session = self._session
        if session.phase is Phase.SWITCHOVER:
            error = error.reworded(f"{error}; {LET_GO}")
        session.fail(error, final=True)

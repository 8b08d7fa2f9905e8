"""The return path: what a destination answers."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ramferry.errors import MigrationFailed, PeerTimeout, RemoteProtocolError
from ramferry.flows.session.causes import Causes
from ramferry.flows.session.reminder import UNHEARD
from ramferry.flows.session.session import Phase, Session
from ramferry.metrics.notes import warning
from ramferry.transport.connection import Connection
from ramferry.transport.tls_reasons import CUT
from ramferry.wire.return_path import ReturnPathParser, Shut

_PIECE = 4096
TOOK_LATE: Final = (
    "the destination took over after the source had given the migration up: the guest runs at the "
    "destination, stop the source's QEMU"
)
HELD_IS_TOLD: Final = (
    "the destination took over after this relay had given the migration up: the guest runs at the "
    "destination, and the source, whose connections are held, is told so"
)
"""Notes of an answer that came late."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one receive brought on the return path."""

    data: memoryview
    """The bytes; valid until the next ``hear``."""
    shut: Shut | None
    """The destination's SHUT, if these bytes complete it."""
    end: int
    """Offset in the return path up to which whole messages have come."""
    nonsense: RemoteProtocolError | None
    """Why the return path cannot be read any more; set once, with the bytes at which that began."""


def refused(error: int) -> MigrationFailed:
    """What SHUT with this error means."""
    return MigrationFailed(f"the destination refused the guest (SHUT with error {error})")


class ReturnPath:
    """Reads a return path; used by one thread."""

    def __init__(self, destination: Connection, causes: Causes, check: Callable[[], None]) -> None:
        """
        :param causes: is told what comes that says why the destination fails.
        :param check: called repeatedly while nothing comes; if it raises, the wait ends.
        """
        self._destination = destination
        self._causes = causes
        self._check = check
        self._parser = ReturnPathParser()
        self.nonsense: RemoteProtocolError | None = None
        """Why the return path cannot be read any more; None while it can."""
        self._damaged = False
        self._end = 0
        self._buffer = memoryview(bytearray(_PIECE))

    def hear(self) -> Said | None:
        """Wait for the next bytes; None at the end.

        :raise OSError: the connection broke.
        """
        if self._damaged:
            return None
        try:
            while (count := self._destination.receive_some(self._buffer)) is None:
                self._check()
        except RemoteProtocolError as error:
            # by another Ramferry's frames; of what follows nothing is handed out
            self._damaged, self.nonsense = True, error.at("return path")
            return Said(self._buffer[:0], None, self._end, error)
        if not count:
            return None
        data = self._buffer[:count]
        if self.nonsense is not None:
            return Said(data, None, self._end, None)
        try:
            events = self._parser.feed(data)
        except RemoteProtocolError as error:
            self.nonsense = self._causes.word = error
            return Said(data, None, self._end, error)
        if events:
            self._causes.answered = True
            self._end = events[-1].end
        shut = next((one for one in events if isinstance(one, Shut)), None)
        return Said(data, shut, self._end, None)


class CarriedAnswer:
    """Carries a destination's answer back to the source, and sees from it how the migration
    ended."""

    def __init__(
        self, session: Session, source: Connection, destination: Connection, *, local: bool
    ) -> None:
        """:param local: whether the destination is on this host, so that only its own end, or
        death, can break the connection to it."""
        self._session = session
        self._source = source
        self._local = local
        self._broke = False
        """True once the connection to the destination broke."""
        self._refusal = ""
        """Why the destination's side of TLS ended it, as a phrase; empty if that is not known."""
        self._came = False
        self._path = ReturnPath(destination, session.causes, self._look)

    def _look(self) -> None:
        """Called repeatedly while nothing comes; if it raises, the wait ends."""
        self._session.check()

    def run(self) -> None:
        """Carry the answer to its end, in a thread of the session."""
        shut: Shut | None = None
        while (said := self._hear()) is not None:
            self._came = True
            if said.nonsense is not None:
                # in the switchover the source must judge it: an answer may still come
                self._session.fail(said.nonsense)
                self._session.check()
            shut = said.shut or shut
            if shut is not None and not shut.error:
                self._confirm()
            elif shut is not None and self._session.asked and not self._session.whole:
                self._unclear(shut)
                return
            self._send_back(said.data, took=shut is not None and not shut.error)
            if shut is not None and shut.error:
                self._refused(shut)
            elif shut is not None and not self._session.holds:
                self._session.taken = True  # also if it has failed: whoever asks is told
        if shut is None:
            # a main that was ended from here says nothing of the destination
            self._session.check()
            self._unanswered()

    def _hear(self) -> Said | None:
        try:
            return self._path.hear()
        except OSError as error:
            self._broke = True
            # by TLS 1.3 a certificate is refused after the handshake: in TLS's own words, or, by a
            # QEMU, in none
            if error.errno == errno.EPROTO:
                self._refusal = f"{error.strerror}; "
            elif error.strerror == CUT and not self._came:
                self._refusal = "it may not accept this side's certificate; "
            return None

    def _unanswered(self) -> None:
        """The destination's main channel ended without a SHUT.

        A QEMU that does so has refused the guest or died. In the switchover the far end may also be
        another relay, and only the QEMU behind it knows whether it has the guest.
        """
        where = f"{self._refusal}see its log for the cause"
        if self._session.phase is Phase.SWITCHOVER:
            where = (
                f"no answer was heard; {where}, and with `info status`, where another relay is "
                "between, that the guest does not run there"
            )
        if self._path.nonsense is None and (self._local or not self._broke):
            self._session.taken = False
        error = MigrationFailed(
            f"the destination closed the main channel without taking over: {where}"
        )
        if self._refusal:
            self._session.causes.word = error
        self._session.fail(error, final=True)

    def _confirm(self) -> None:
        """The destination has taken over: a fault from here on does not undo it."""
        session = self._session
        if session.phase < Phase.SWITCHOVER and session.sighted:
            session.fail(
                RemoteProtocolError("no SHUT before ram's END", "SHUT 0", channel="return path")
            )
            session.check()
        if not session.advance(Phase.CONFIRMED, taken=True):
            session.note(warning(HELD_IS_TOLD if session.held else TOOK_LATE))

    def _send_back(self, data: memoryview, *, took: bool) -> None:
        """:param took: whether these bytes say that the destination took over."""
        why = self._unsent(data, ends=took)
        if not took or why is None:
            return
        if self._session.asked:
            self._session.note(warning(UNHEARD))
        else:
            self._session.note(
                warning(
                    f"the source could not be told that the destination took over ({why}): the "
                    "guest runs at the destination, stop the source's QEMU"
                )
            )

    def _unsent(self, data: memoryview, *, ends: bool) -> str | None:
        """Send the source some of the answer; return why that cannot be, None if it was sent.

        :param ends: whether main ends with these bytes, so that a source which has ended it before
            does not have them.
        """
        if ends and self._source.hung_up():
            return "it had ended the migration"  # TCP would take the bytes, and nobody read them
        try:
            self._source.send([data])
        except (OSError, PeerTimeout) as error:
            return str(error)
        return None

    def _unclear(self, shut: Shut) -> None:
        """A QEMU whose stream was cut behind the EOF byte has started its guest, and says that it
        has not."""
        self._session.fail(
            MigrationFailed(
                f"{refused(shut.error)}, though it may run it: see with `info status` there"
            ),
            final=True,
        )

    def _refused(self, shut: Shut) -> None:
        self._session.taken = False
        self._session.fail(refused(shut.error), final=True)

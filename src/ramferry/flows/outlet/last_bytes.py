"""The last bytes of a stream that begins here, and the destination's answer to them.

With these bytes the destination may start the guest. From the first of them on only the destination
knows whether it runs there: neither silence nor an answer that makes no sense ends the wait, but
only SHUT or the end of main, which also TCP's keepalive notices (25 s). Where the far end is a
Ramferry that answers, the end of main decides nothing either: it is asked, on as many control
connections as that takes.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Final

from ramferry.errors import MigrationFailed, RamferryError, RemoteProtocolError
from ramferry.flows.outlet.answer import ReturnPath, refused
from ramferry.flows.outlet.asked import Decided, not_taken, outcome_of
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.peer.asking import Asking
from ramferry.flows.session.gate import Unwind
from ramferry.flows.session.session import Phase
from ramferry.flows.session.tally import ChannelTally
from ramferry.transport.connection import Connection
from ramferry.transport.sockets import reason
from ramferry.wire.relay_messages import Outcome
from ramferry.wire.return_path import Shut

_PIECE: Final = 0.1
"""Seconds between two looks while the last bytes are sent and the answer is awaited."""
_UNREACHABLE: Final = frozenset(
    {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN}
)


class LastBytes:
    """Sends them, and hears what is answered; ``listen`` has a thread of its own."""

    def __init__(self, outlet: Outlet, tally: ChannelTally, check: Callable[[], None]) -> None:
        """
        :param tally: main's.
        :param check: raises the migration's error once it has failed.
        """
        self._outlet = outlet
        self._session = outlet.session
        self._check = check
        self._main: Connection
        self._tally = tally
        self.shut: Shut | None = None
        """The destination's SHUT, once it has come on main."""
        self.sealed = False
        """True once the first of them may be on its way."""
        self._heard_all = threading.Event()
        """Set once nothing more can be heard on main, or need be."""

    def hand_over(self, tail: bytes, waiting: Callable[[], None]) -> None:
        """Send them, and wait until the destination has taken the guest over.

        :param waiting: called before the first byte, and then repeatedly; if it raises, the
            migration is given up.
        :raise MigrationFailed: the destination has not taken the guest, or main ended.
        :raise PeerTimeout: the far end does not say whether it has the guest.
        :raise RamferryError: another cause of the first. ``session.taken`` is False if it is
            certain that the destination does not have the guest.
        """
        self._check()
        waiting()
        session, far = self._session, self._outlet.far
        if far is None or not session.holds:
            self.sealed = True
            self._judge(self._answer(tail, waiting))
            return
        if not session.advance(Phase.SWITCHOVER):
            self._check()
        self.sealed = True
        outcome = self._asked(far.asking, tail, waiting)
        session.taken = outcome.outcome == "taken"
        if not session.taken:
            raise not_taken(outcome)
        session.advance(Phase.CONFIRMED)

    def _judge(self, answer: Shut | None) -> None:
        if answer is None:
            self._check()
            raise MigrationFailed(self._closed())
        if answer.error:
            self._session.taken = False
            raise refused(answer.error)

    def _asked(self, asking: Asking, tail: bytes, waiting: Callable[[], None]) -> Outcome:
        """Send them, and find out how the switchover ended."""

        def wait() -> None:
            self._check()
            try:
                waiting()
            except RamferryError:
                # nothing stands still here for the far end's word: it hears of the end
                self._session.holds = False
                raise

        def look() -> None:
            wait()
            if (outcome := asking.step(cut=False)) is not None:
                raise Decided(outcome)

        try:
            answer = self._answer(tail, look)
        except Decided as decided:
            return decided.outcome
        return asking.until_known(check=wait) if answer is None else outcome_of(answer)

    def _answer(self, tail: bytes, look: Callable[[], None]) -> Shut | None:
        """Send them, and wait for SHUT; None if main ended without it.

        :param look: called repeatedly; if it raises, the wait ends.
        """
        if self._send(tail, look):
            while not self._heard_all.wait(_PIECE):
                look()
        return self.shut

    def _send(self, tail: bytes, look: Callable[[], None]) -> bool:
        """Send all of it, unless the destination has answered; False if it takes no more."""
        self._main.settle(_PIECE)
        left = memoryview(tail)
        while left and not self._heard_all.is_set():
            try:
                sent = self._main.send_some(left)
            except OSError as error:
                self._broke(
                    MigrationFailed(f"main: the destination takes no more: {reason(error)}")
                )
                return False
            self._tally.bytes_out += sent
            left = left[sent:]
            if left:
                look()
        return True

    def _broke(self, error: RamferryError) -> None:
        """Main ended; in the switchover, where the far end can be asked, that decides nothing."""
        self._session.fail(error)

    # --- the return path

    def listen(self, main: Connection) -> None:
        """Read the return path from now on, in a thread of the session."""
        self._main = main
        self._session.start("return path", self._listen)

    def _listen(self) -> None:
        path = ReturnPath(self._main, self._session.causes, self._session.check)
        try:
            while (said := path.hear()) is not None:
                if said.shut is not None:
                    self._take(said.shut)
                # it says what cannot be: that ends it, but not where the guest may run
                if said.nonsense is not None and not self.sealed:
                    self._broke(said.nonsense)
        except Unwind:
            pass
        except OSError as error:
            if error.errno in _UNREACHABLE:
                # not the destination's doing: its log would say nothing
                self._broke(MigrationFailed(f"main: the network failed: {error.strerror}"))
        if self.shut is None:
            self._broke(path.nonsense or MigrationFailed(self._closed()))
        self._heard_all.set()

    def _take(self, shut: Shut) -> None:
        """Take the answer; one that claims a guest which it cannot have yet fails the migration."""
        if not shut.error and not self.sealed:
            self._broke(
                RemoteProtocolError(
                    "no SHUT before the last bytes", "SHUT 0", channel="return path"
                )
            )
        self.shut = shut
        self._heard_all.set()

    def _closed(self) -> str:
        if not self.sealed:
            return "the destination closed the main channel: see its log"
        return "the destination closed the main channel without an answer"

"""The return path where the destination is behind another Ramferry, which can be asked.

Behind ram's END a broken connection decides nothing: the source, whose connections stay open and
silent, stands still until the far relay has said how the switchover ended. So nothing but whole
messages is passed on, and a SHUT with which the source gives its guest away is written here, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ramferry.errors import MigrationFailed, RamferryError, RemoteProtocolError, of_exit_code
from ramferry.flows.outlet.answer import CarriedAnswer, Said
from ramferry.flows.peer.asking import Asking
from ramferry.flows.session.gate import Unwind
from ramferry.flows.session.session import Phase, Session
from ramferry.transport.connection import Connection
from ramferry.wire.relay_messages import Outcome
from ramferry.wire.return_path import Shut, shut

LOOK: Final = 0.25
"""Seconds between two looks while nothing comes."""


class Decided(Exception):
    """Ends the wait for bytes: the far end has told the outcome on control."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


def outcome_of(said: Shut) -> Outcome:
    """What a whole SHUT says of a switchover."""
    if said.error:
        return Outcome("not taken", f"it refused the guest (SHUT with error {said.error})")
    return Outcome("taken")


def not_taken(outcome: Outcome) -> RamferryError:
    """The error of a migration whose destination has not taken the guest, as the cause's kind."""
    return of_exit_code(
        outcome.exit_code, f"the destination has not taken the guest over: {outcome.why}"
    )


class AskedAnswer(CarriedAnswer):
    """Carries a destination's answer back to the source, and asks for it if it does not come."""

    def __init__(
        self,
        session: Session,
        source: Connection,
        destination: Connection,
        asking: Asking,
        cut: Callable[[], bool],
        telling: Callable[[], None],
    ) -> None:
        """
        :param cut: whether main cannot be sent on any more.
        :param telling: called before the source is told that its guest was taken over.
        """
        super().__init__(session, source, destination, local=False)
        self._asking = asking
        self._cut = cut
        self._telling = telling
        self._part = bytearray()
        """The message that has come in part."""
        self._passed = 0
        """Offset in the return path up to which it was passed on."""

    def run(self) -> None:
        """Carry the answer, or find it out, in a thread of the session."""
        asking, check = self._asking, self._session.check
        try:
            self._decided(self._heard() or asking.until_known(self._source.hung_up, check))
        except Unwind:
            raise
        except RamferryError as error:
            # a source that has ended the migration by itself does not stand still
            self._session.holds = self._session.holds and not self._source.hung_up()
            self._session.fail(error, final=True)
        except Exception as error:
            # whatever went wrong here, the source is not let go on
            self._session.fail(
                RamferryError(f"internal error in return path: {error!r}"), final=True
            )

    def _heard(self) -> Outcome | None:
        """Carry messages up to the destination's SHUT; None once no more can be heard on main.

        :raise Unwind: the migration has failed, before ram's END.
        """
        broken: RamferryError = MigrationFailed("main: the far relay ended the connection")
        try:
            while (said := self._path.hear()) is not None:
                if said.nonsense is not None:
                    raise said.nonsense
                if (outcome := self._carry(said)) is not None:
                    return outcome
        except Decided as decided:
            return decided.outcome
        except OSError as error:
            broken = MigrationFailed(
                f"main: the connection to the far relay broke: {error.strerror}"
            )
        except RemoteProtocolError as error:
            broken = error.at("return path")
        self._session.fail(broken)
        self._session.check()
        return None

    def _carry(self, said: Said) -> Outcome | None:
        """Pass on the whole messages that have come, but for SHUT."""
        self._part += said.data
        end = said.end if said.shut is None else said.shut.start
        whole = bytes(self._part[: end - self._passed])
        del self._part[: len(whole)]
        self._passed = end
        if whole:
            self._send_back(memoryview(whole), took=False)
        if said.shut is None:
            return None
        if said.shut.error:
            self._send_back(memoryview(shut(said.shut.error)), took=False)
        return outcome_of(said.shut)

    def _look(self) -> None:
        super()._look()
        if self._session.phase is Phase.SWITCHOVER:
            outcome = self._asking.step(cut=self._cut())
            if outcome is not None:
                raise Decided(outcome)

    def _decided(self, outcome: Outcome) -> None:
        if outcome.outcome == "taken":
            self._confirm()
            self._telling()
            self._send_back(memoryview(shut()), took=True)
            return
        self._session.taken = False
        self._session.fail(not_taken(outcome), final=True)

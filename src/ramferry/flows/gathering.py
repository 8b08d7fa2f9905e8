"""What a relay and a receiver do alike: tell an observer, and gather a migration's channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from ramferry.errors import MigrationFailed, RamferryError, RemoteProtocolError
from ramferry.flows.calls import Call
from ramferry.flows.lobby import Departure, Lobby, MultifdArrival
from ramferry.flows.migration import Migration
from ramferry.flows.roster import Roster
from ramferry.metrics import RelayCounters
from ramferry.transport.address import Address


class Observer(Protocol):
    """Told what happens, in the flow's thread; ``note`` may come from any thread."""

    def listening(self, address: Address) -> None:
        """Connections are accepted at ``address``."""

    def progress(self, counters: RelayCounters) -> None:
        """A migration is under way."""

    def note(self, text: str) -> None:
        """Something a person should know; one sentence."""


def admit(
    session: Migration, roster: Roster, arrival: MultifdArrival, main: Call, advice: str = ""
) -> bool:
    """Take a channel into a migration; False where it is not taken, or cannot belong to it.

    :param main: who made the migration's main connection.
    :param advice: what helps where one comes too late.
    """
    late = session.gathered.is_set() and not session.over.is_set()
    own = arrival.call.number > main.number and roster.may_lack(arrival.initial)
    if late and not own:
        # a second source's: the migration that is under way has all of its own
        session.note(f"refused a second {arrival.name} in a migration under way")
        arrival.sock.close()
        return False
    session.sources.append(arrival.sock)
    try:
        if late:
            expected = f"{len(roster.ids)} channels"
            raise RemoteProtocolError(
                expected, f"one more after the first sync mark{advice}", channel=arrival.name
            )
        roster.admit(arrival.initial)
    except RamferryError as error:
        session.fail(error)
        return False
    return True


def miss(session: Migration, departures: Iterable[Departure]) -> None:
    """Connections of this migration were closed before it began: it cannot go well.

    Its source may not know: a QEMU 7.2 whose channel broke keeps main open, and dies if it is asked
    to migrate again before main was ended.
    """
    for one in departures:
        if one.channel:
            session.fail(
                MigrationFailed(f"{one.channel}: the source closed it before its migration began")
            )
        else:
            session.missed = True


def gather(
    session: Migration, lobby: Lobby, roster: Roster, take_early: Callable[[], None] = lambda: None
) -> None:
    """Main stands before the first mark: is every channel here?

    :param take_early: takes in those that were accepted before main, where they are its own.
    """
    if session.gathered.is_set() or not session.want_gathered.is_set():
        return
    lobby.accept()
    # also where their number was told: one too many is better noticed before the first mark, for
    # which a destination may wait on its SYNC for good
    if not lobby.settled():
        return
    take_early()
    if not roster.full():
        if session.missed:
            session.fail(
                MigrationFailed(
                    f"{len(roster.ids)} of {roster.wanted} multifd channels came, and a connection "
                    "was closed before it said which it is"
                )
            )
        return
    try:
        roster.close()
    except MigrationFailed as error:
        session.fail(error)
        return
    session.uuid = roster.uuid or session.uuid
    session.gate.expect(roster.ids)
    session.gathered.set()

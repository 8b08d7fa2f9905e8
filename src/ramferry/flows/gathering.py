"""What a relay and a receiver do alike: tell an observer, and gather a migration's channels."""

from __future__ import annotations

from typing import Protocol

from ramferry.errors import MigrationFailed
from ramferry.flows.lobby import Lobby
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


def gather(session: Migration, lobby: Lobby, roster: Roster) -> None:
    """Main stands before the first mark: is every channel here?"""
    if session.gathered.is_set() or not session.want_gathered.is_set():
        return
    lobby.accept()
    # also where their number was told: one too many is better noticed before the first mark, for
    # which a destination may wait on its SYNC for good
    if not roster.full() or not lobby.settled():
        return
    try:
        roster.close()
    except MigrationFailed as error:
        session.fail(error)
        return
    session.uuid = roster.uuid or session.uuid
    session.gate.expect(roster.ids)
    session.gathered.set()

"""Accepts connections for a relay or receiver, and makes migrations of them, one at a time.

All of it runs in the loop's thread. Connections are told apart by their first bytes (``lobby``).
Channels that come first wait for their main (``waiting``), and a migration begins with main's first
bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from ramferry.flows.inlet import gathering
from ramferry.flows.inlet.callers import Departure, MainArrival, MultifdArrival
from ramferry.flows.inlet.calls import Call, mother
from ramferry.flows.inlet.lobby import Lobby
from ramferry.flows.inlet.roster import Roster
from ramferry.flows.inlet.streams import NO_STREAMS, Streams
from ramferry.flows.inlet.waiting import WaitingChannels
from ramferry.flows.peer.reception import Reception
from ramferry.flows.session.loop import Loop
from ramferry.flows.session.session import Session
from ramferry.transport.connection import Connection
from ramferry.transport.listening import Listener


class House(Protocol):
    """What makes sessions, and carries the connections of a migration."""

    def enter(self, source: Connection) -> Session:
        """Begin a migration whose main connection is ``source``."""

    def main(self, arrival: MainArrival) -> None:
        """Start to carry main."""

    def channel(self, arrival: MultifdArrival) -> None:
        """Start to carry a multifd channel."""


class Arrivals:
    """Takes connections in, and knows which of them make up the migration under way."""

    def __init__(
        self,
        loop: Loop,
        listener: Listener,
        house: House,
        note: Callable[[str], None],
        channels: int | None,
        advice: str = "",
        reception: Reception | None = None,
        streams: Streams = NO_STREAMS,
    ) -> None:
        """
        :param channels: multifd-channels; None: as many as are connected when the first sync mark
            comes.
        :param advice: what helps if a channel comes too late; for the error.
        :param reception: where Ramferrys are greeted, if nobody else may call; else None.
        :param streams: what is carried that is no migration.
        """
        self._reception = reception
        self._house = house
        self._note = note
        self._channels = channels
        self._advice = advice
        self.session: Session | None = None
        """The migration under way; None if there is none."""
        self._roster = Roster(channels)
        self._waiting = WaitingChannels(loop, note, self._departed, lambda: self._lobby.silent)
        self._lobby = Lobby(
            loop,
            listener,
            self._arrived,
            note,
            self._departed,
            reception=reception,
            streams=streams,
        )

    @property
    def gathered(self) -> int:
        """Multifd channels of the migration under way, or of the last one."""
        return len(self._roster.ids)

    @property
    def waiting(self) -> set[int]:
        """Ids of the channels that wait for a main to come."""
        return set(self._waiting.ids)

    @property
    def accepted(self) -> int:
        """Number of connections that were accepted so far."""
        return self._lobby.accepted

    @property
    def owes(self) -> bool:
        """True while a far end may ask how a migration that has ended here did."""
        return self._reception is not None and self._reception.owes

    def expire(self) -> None:
        """Close connections that were silent for too long; called at least once a second."""
        self._lobby.expire()
        self._waiting.expire()
        if self._reception is not None:
            self._reception.expire()

    def gather(self) -> None:
        """If main waits before its first mark, see whether every channel has come."""
        session = self.session
        if session is None or session.gathered.is_set():
            return
        visit = self._waiting.main.visit
        if visit is not None and self._roster.wanted is None:
            # on the way a forwarder may hold a channel back that its source has used long since
            self._roster.wanted = visit.channels
        gathering.gather(session, self._lobby, self._roster, partial(self._take_early, session))

    def ended(self, *, failed: bool) -> None:
        """The migration under way has ended, and its connections are closed."""
        self.session = None
        self._waiting.ended(self._lobby.accepted, failed=failed)
        self._dismiss(self._waiting.main)

    def ended_for_good(self) -> None:
        """The same, where no other one is taken: what still comes is refused."""
        self._dismiss(self._waiting.main)

    def close(self) -> None:
        """Stop accepting, and close the connections that wait."""
        self._lobby.close()
        self._waiting.close()
        if self._reception is not None:
            self._reception.close()

    def _arrived(self, arrival: MainArrival | MultifdArrival) -> None:
        session = self.session
        if isinstance(arrival, MultifdArrival):
            if session is not None and session.gathered.is_set():
                self._add_channel(session, arrival)
                return
            self._waiting.add(arrival)
            if session is not None:
                self._take_waiting(session)
            return
        if session is not None:
            self._note("refused a second migration while one is under way")
            arrival.connection.close()
            return
        self._begin(arrival)

    def _begin(self, arrival: MainArrival) -> None:
        session = self._enter(arrival.connection, arrival.call)
        early = self._waiting.take()
        gathering.miss(session, self._waiting.gone())
        if not session.over.is_set():
            self._house.main(arrival)
        for channel in early:
            self._add_channel(session, channel)

    def _enter(self, main: Connection, call: Call) -> Session:
        self.session = session = self._house.enter(main)
        session.sources.append(main)
        session.source = call.origin
        if call.visit is not None:
            call.visit.begin(session)
        self._waiting.begin(call, main.heard_at())
        self._roster = Roster(self._channels)
        return session

    def _departed(self, departure: Departure) -> None:
        """The peer closed a connection before it belonged to a migration."""
        call, session = departure.call, self.session
        if session is not None:
            self._waiting.remember(departure)
            if not session.gathered.is_set():
                gathering.miss(session, self._waiting.gone())
            return
        main = mother(call, self._lobby.silent) if departure.channel else None
        if main is None:
            self._waiting.remember(departure)
            return
        # its source may not know and keep main open; what it waits for cannot come any more
        gathering.miss(self._enter(self._lobby.take(main), main), [departure])

    def _dismiss(self, main: Call) -> None:
        if self._reception is not None and main.visit is not None:
            self._reception.over(main.visit)

    def _take_waiting(self, session: Session) -> None:
        for channel in self._waiting.take():
            self._add_channel(session, channel)

    def _take_early(self, session: Session) -> None:
        for channel in self._waiting.take_early(self._roster.ids):
            self._add_channel(session, channel)

    def _add_channel(self, session: Session, arrival: MultifdArrival) -> None:
        if gathering.admit(session, self._roster, arrival, self._waiting.main, self._advice):
            self._house.channel(arrival)

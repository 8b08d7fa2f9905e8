"""Accepts connections for a relay or receiver, and makes migrations of them.

All of it runs in the loop's thread. Connections are told apart by their first bytes (``lobby``).
Channels that come first wait for their main (``waiting``), and a migration begins with main's first
bytes. Where several migrations may be under way, ``calls`` and ``migrations`` say whose a channel
is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from ramferry.errors import MigrationFailed
from ramferry.flows.inlet import gathering
from ramferry.flows.inlet.admission import ONE_BY_ONE, Admission
from ramferry.flows.inlet.callers import Departure, MainArrival, MultifdArrival
from ramferry.flows.inlet.calls import Call, Claim, mother
from ramferry.flows.inlet.lobby import Lobby
from ramferry.flows.inlet.migrations import Migration, Migrations, refuse_doubtful
from ramferry.flows.inlet.roster import Roster
from ramferry.flows.inlet.waiting import WaitingChannels
from ramferry.flows.peer.reception import Reception
from ramferry.flows.peer.visit import Visit
from ramferry.flows.session.loop import Loop
from ramferry.flows.session.session import Session
from ramferry.metrics.notes import refusal
from ramferry.transport.connection import Connection
from ramferry.transport.listening import Listener


class House(Protocol):
    """What makes sessions, and carries the connections of a migration."""

    def enter(self, source: Connection) -> Session:
        """Begin a migration whose main connection is ``source``."""

    def main(self, session: Session, arrival: MainArrival) -> None:
        """Start to carry main."""

    def channel(self, session: Session, arrival: MultifdArrival) -> None:
        """Start to carry a multifd channel."""


class Arrivals:
    """Takes connections in, and knows which of them make up the migrations under way."""

    def __init__(
        self,
        loop: Loop,
        listener: Listener,
        house: House,
        note: Callable[[str], None],
        channels: int | None,
        advice: str = "",
        reception: Reception | None = None,
        admission: Admission = ONE_BY_ONE,
    ) -> None:
        """
        :param channels: multifd-channels; None: as many as are connected when the first sync mark
            comes.
        :param advice: what helps if a channel comes too late; for the error.
        :param reception: where Ramferrys are greeted, if nobody else may call; else None.
        """
        self.ending = False
        """Whether no migration is taken any more: those under way are the last."""
        self._admission = admission
        self._several = admission.several
        self._reception = reception
        self._house = house
        self._note = note
        self._channels = channels
        self._advice = advice
        self._migrations = Migrations()
        self._visits: dict[Session, Visit] = {}
        """The far ends, if they are Ramferrys, of the migrations of which anything is left."""
        self._last: Migration | None = None
        """The migration that began last."""
        self._lobby = self._open(loop, listener)
        self._waiting = WaitingChannels(
            loop, note, self._departed, self._lobby.silent, several=self._several
        )

    def _open(self, loop: Loop, listener: Listener) -> Lobby:
        """Begin to accept."""
        return Lobby(
            loop,
            listener,
            self._arrived,
            self._note,
            self._departed,
            reception=self._reception,
            streams=self._admission.streams,
        )

    @property
    def session(self) -> Session | None:
        """The migration under way that began first; None if there is none."""
        return next(iter(self.sessions), None)

    @property
    def sessions(self) -> list[Session]:
        """The migrations under way, in the order in which they began."""
        return [one.session for one in self._migrations.all]

    @property
    def gathered(self) -> int:
        """Multifd channels of the migration that began last."""
        return len(self._last.roster.ids) if self._last else 0

    def channels(self, session: Session) -> int:
        """Multifd channels of a migration under way."""
        return len(self._migrations.of(session).roster.ids)

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
        """See whether every channel has come of the migrations whose main waits before its first
        mark, and whether one too many has come of those that have none."""
        for one in self._migrations.ungathered():
            self._gather(one)
        for one in self._migrations.all:
            gathering.look_for_preempt(one.session, one.call, self._lobby)

    def _gather(self, one: Migration) -> None:
        visit = one.call.visit
        if visit is not None and one.roster.wanted is None:
            # on the way a forwarder may hold a channel back that its source has used long since
            one.roster.wanted = visit.channels
        if self._several:
            # others that were their mains as well may have got all of theirs
            self._take_waiting(one)
            refuse_doubtful(one, self._migrations, self._waiting, all_here=False)
        gathering.gather(
            one.session,
            self._lobby,
            one.roster,
            partial(self._take_early, one),
            partial(self._concerns, one),
        )

    def over(self, session: Session, *, failed: bool) -> None:
        """A migration has ended, and its connections are closed, or about to be."""
        one = self._migrations.of(session)
        self._migrations.all.remove(one)
        self._waiting.ended(one.claim, self._lobby.accepted, failed=failed)

    def dismiss(self, session: Session) -> None:
        """Nothing is left of a migration that was under way."""
        visit = self._visits.pop(session, None)
        if self._reception is not None and visit is not None:
            self._reception.over(visit)

    def ended_for_good(self) -> None:
        """The migration under way has ended, and no other one is taken: what still comes is
        refused."""
        for session in self.sessions:
            self.dismiss(session)

    def close(self) -> None:
        """Stop accepting, and close the connections that wait."""
        self._lobby.close()
        self._waiting.close()
        if self._reception is not None:
            self._reception.close()

    def _arrived(self, arrival: MainArrival | MultifdArrival) -> None:
        if isinstance(arrival, MainArrival):
            self._main_arrived(arrival)
            return
        late = self._late_for(arrival)
        if late is not None:
            if self._several and self._migrations.later(late, self._lobby.silent()):
                gathering.turn_away(late.session, arrival)
            else:
                self._add_channel(late, arrival)
            return
        self._waiting.add(arrival)
        for one in self._migrations.ungathered():
            self._take_waiting(one)

    def _late_for(self, arrival: MultifdArrival) -> Migration | None:
        """The migration that a channel comes too late for; None if there is none."""
        if self._several:
            return self._migrations.late_for(arrival)
        under_way = self._migrations.all
        return under_way[0] if under_way and not self._migrations.ungathered() else None

    def _main_arrived(self, arrival: MainArrival) -> None:
        more = self._admission.more
        if self.ending:
            busy, more = "refused one more migration while this relay is about to end", ""
        elif len(self._migrations.all) < self._admission.limit:
            self._begin(arrival)
            return
        elif self._several:
            busy = f"refused one more migration while {self._admission.limit} are under way"
        else:
            busy = "refused a second migration while one is under way"
        # nothing of it was read but main's first bytes
        busy = f"{busy}, so its guest stays at the source"
        self._note(refusal(f"{busy}{more}"))
        if arrival.call.visit is not None:
            arrival.call.visit.refuse(MigrationFailed(busy))
        arrival.connection.close()

    def _begin(self, arrival: MainArrival) -> None:
        one = self._enter(arrival.connection, arrival.call)
        early = self._waiting.take(one.claim)
        gathering.miss(one.session, self._waiting.gone(one.claim))
        if not one.session.over.is_set():
            self._house.main(one.session, arrival)
        for channel in early:
            self._add_channel(one, channel)

    def _enter(self, main: Connection, call: Call) -> Migration:
        session = self._house.enter(main)
        session.sources.append(main)
        session.source = call.origin
        if call.visit is not None:
            self._visits[session] = call.visit
            call.visit.begin(session)
        claim = self._waiting.begin(call, main.heard_at())
        self._last = Migration(session, claim, Roster(self._channels))
        self._migrations.all.append(self._last)
        return self._last

    def _departed(self, departure: Departure) -> None:
        """The peer closed a connection before it belonged to a migration."""
        call, ungathered = departure.call, self._migrations.ungathered()
        if self._several and self._missed(departure, ungathered):
            self._waiting.remember(departure)
            return
        if len(self._migrations.all) >= self._admission.limit:
            self._waiting.remember(departure)
            for one in ungathered:
                gathering.miss(one.session, self._waiting.gone(one.claim))
            return
        main = mother(call, self._lobby.silent()) if departure.channel else None
        if main is None:
            self._waiting.remember(departure)
            return
        # its source may not know and keep main open; what it waits for cannot come any more
        gathering.miss(self._enter(self._lobby.take(main), main).session, [departure])

    def _missed(self, departure: Departure, ungathered: list[Migration]) -> bool:
        """Tell the migrations that a connection was closed which may have been theirs; False if
        there are none."""
        pool: list[Claim | Call] = self._waiting.pool_of(departure.call)
        theirs = [one for one in ungathered if one.claim in pool]
        for one in theirs:
            if len(pool) == 1:
                gathering.miss(one.session, [departure])
            else:
                one.session.missed = True
        return bool(theirs)

    def _concerns(self, one: Migration, call: Call) -> bool:
        if not self._several:
            return True
        return self._migrations.concern(one, call, self._lobby.silent())

    def _take_waiting(self, one: Migration) -> None:
        for channel in self._waiting.take(one.claim):
            self._add_channel(one, channel)

    def _take_early(self, one: Migration) -> None:
        if self._several:
            self._take_waiting(one)
            refuse_doubtful(one, self._migrations, self._waiting, all_here=True)
        for channel in self._waiting.take_early(one.claim, one.roster.ids):
            self._add_channel(one, channel)

    def _add_channel(self, one: Migration, arrival: MultifdArrival) -> None:
        check = partial(self._migrations.check, one)
        if gathering.admit(one.session, one.roster, arrival, one.call, self._advice, check):
            self._house.channel(one.session, arrival)

"""The migrations under way, as those who arrive meet them: which are full, and whose is whose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from ramferry.errors import MigrationFailed
from ramferry.flows.inlet.callers import MultifdArrival
from ramferry.flows.inlet.calls import Call, Claim
from ramferry.flows.inlet.roster import Roster
from ramferry.flows.inlet.waiting import WaitingChannels
from ramferry.flows.session.session import Phase, Session
from ramferry.vocabulary import MAX_CHANNELS

MOST_CHANNELS: Final = 2 * MAX_CHANNELS
"""Most multifd channels of all migrations together. A channel takes memory for a packet as it came
and one as it goes out, two descriptors and a thread."""


@dataclass(eq=False, slots=True)
class Migration:
    """One migration under way."""

    session: Session
    claim: Claim
    roster: Roster

    @property
    def call(self) -> Call:
        """Its main connection."""
        return self.claim.call

    def follows(self, call: Call) -> bool:
        """Whether a connection came after main, and from where main came."""
        return call.number > self.call.number and call.origin == self.call.origin


class Migrations:
    """Those under way; all in the loop's thread."""

    def __init__(self) -> None:
        self.all: list[Migration] = []

    def of(self, session: Session) -> Migration:
        """The one with this session."""
        return next(one for one in self.all if one.session is session)

    def ungathered(self) -> list[Migration]:
        """Those that have not all of their channels."""
        for one in self.all:
            one.claim.gathered = one.session.gathered.is_set()
        return [one for one in self.all if not one.claim.gathered]

    def late_for(self, arrival: MultifdArrival) -> Migration | None:
        """The migration to which a channel belongs that comes when all of its own are here; None if
        there is none."""
        call, uuid = arrival.call, arrival.initial.uuid
        ungathered = self.ungathered()
        gathered = [one for one in self.all if one not in ungathered]
        if call.visit is not None:
            return next((one for one in gathered if one.call.visit is call.visit), None)
        own = [one for one in gathered if any(uuid) and one.claim.uuid == uuid]
        return next((one for one in own if one.follows(call)), None)

    def later(self, one: Migration, silent: list[Call]) -> bool:
        """Whether a channel that comes late for a migration may be of another one of the same
        guest, from the same origin.

        :param silent: connections that may still become a main.
        """
        mains = [*silent, *(other.call for other in self.ungathered())]
        return one.call.visit is None and any(map(one.follows, mains))

    def concern(self, one: Migration, call: Call, silent: list[Call]) -> bool:
        """Whether a connection of which nothing else is known may belong to a migration."""
        visit = one.call.visit
        if visit is not None:
            # without a number of channels, one that has not said whose it is may be its own
            unknown = call.visit is None and one.roster.wanted is None
            return call.visit is visit or (unknown and one.follows(call))
        others = {main.origin for main in silent}
        others |= {other.call.origin for other in self.all if other is not one}
        return call.origin == one.call.origin or call.origin not in others

    def check(self, one: Migration) -> None:
        """Called when a migration has one more channel.

        :raise MigrationFailed: its guest is on its way already, or all have too many channels.
        """
        if sum(len(other.roster.ids) for other in self.all) > MOST_CHANNELS:
            raise MigrationFailed(
                f"the migrations under way have {MOST_CHANNELS} multifd channels already, the most "
                "that one relay carries: migrate again when one of them has ended, or give the "
                "guests fewer multifd-channels or relays of their own"
            )
        uuid = one.roster.uuid
        for other in self.all:
            busy = not other.session.over.is_set() and other.session.phase < Phase.CONFIRMED
            if other is not one and busy and any(uuid) and other.roster.uuid == uuid:
                raise MigrationFailed(
                    f"guest {UUID(bytes=uuid)} is on its way already, by migration "
                    f"{other.session.tally.migration}: a guest cannot migrate twice at a time"
                )


def refuse_doubtful(
    one: Migration, migrations: Migrations, waiting: WaitingChannels, *, all_here: bool
) -> None:
    """If there are channels that may be one migration's or another's, all of those fail: one of
    them may have no channels at all, so that nothing can be concluded from the others'.

    :param all_here: whether all of its channels are here, because its main waits for them. If not,
        channels of a single guest are no reason yet.
    """
    doubtful = waiting.undecided(one.claim)
    if len({channel.initial.uuid for channel in doubtful}) < (1 if all_here else 2):
        return
    claims = [claim for channel in doubtful for claim in waiting.pool(channel)]
    for other in migrations.all:
        if other.claim in claims:
            other.session.fail(MigrationFailed(_undecided(one.call.origin)))
    for channel in doubtful:
        waiting.refuse(channel, "may be of more than one migration")


def _undecided(origin: str) -> str:
    return (
        f"several sources of {origin} connected at the same moment, and their channels cannot be "
        "told apart: migrate again one after the other, or have the sources connect by a UNIX "
        "socket or through relays of their own at relay:, or use --max-migrations 1"
    )

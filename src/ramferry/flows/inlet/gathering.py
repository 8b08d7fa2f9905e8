"""Collects the connections of a migration before its first sync mark."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ramferry.errors import MigrationFailed, RamferryError, RemoteProtocolError
from ramferry.flows.inlet.callers import Departure, MultifdArrival
from ramferry.flows.inlet.calls import Call
from ramferry.flows.inlet.lobby import Lobby
from ramferry.flows.inlet.roster import Roster
from ramferry.flows.session.session import Phase, Session
from ramferry.metrics.notes import refusal

PREEMPT: Final = (
    "the source opened a second connection that says nothing, as with postcopy-preempt: unset "
    "that on both QEMUs, or give both relays --any-stream --max-migrations 2"
)
_PREEMPT_SILENT: Final = 3.0
"""Seconds for which such a connection has said nothing that came late: another guest's main, from
the same host, may take so long until the last of its channels is connected, and a stand of this
process counts as a second at most. That of postcopy-preempt is silent until the switch."""


def admit(
    session: Session,
    roster: Roster,
    arrival: MultifdArrival,
    main: Call,
    advice: str = "",
    check: Callable[[], None] = lambda: None,
) -> bool:
    """Take a channel into a migration. Returns False if it is refused, or if it made the migration
    fail.

    :param main: the migration's main connection.
    :param advice: what helps if a channel comes too late; for the error.
    :param check: called once it is in the roster; raises what keeps it out.
    """
    late = session.gathered.is_set() and not session.over.is_set()
    own = arrival.call.number > main.number and roster.may_lack(arrival.initial)
    if late and not own:
        # a second source's: the migration that is under way has all of its own
        turn_away(session, arrival)
        return False
    session.sources.append(arrival.connection)
    try:
        if late:
            expected = f"{len(roster.ids)} channels"
            raise RemoteProtocolError(
                expected, f"one more after the first sync mark{advice}", channel=arrival.name
            )
        roster.admit(arrival.initial)
        check()
    except RamferryError as error:
        session.fail(error)
        return False
    return True


def turn_away(session: Session, arrival: MultifdArrival) -> None:
    """Close a channel that is not one of a migration under way, though it may seem so."""
    session.note(refusal(f"refused a second {arrival.name} in a migration under way"))
    arrival.connection.close()


def miss(session: Session, departures: Iterable[Departure]) -> None:
    """Fail a migration some of whose connections were closed before it began.

    Its source may not know: a QEMU 7.2 whose channel broke keeps main open, and dies if it is asked
    to migrate again before main has ended.
    """
    for one in departures:
        if one.channel:
            session.fail(
                MigrationFailed(f"{one.channel}: the source closed it before its migration began")
            )
        else:
            session.missed = True


def gather(
    session: Session,
    lobby: Lobby,
    roster: Roster,
    take_early: Callable[[], None] = lambda: None,
    concerns: Callable[[Call], bool] = lambda _: True,
) -> None:
    """Called while main waits before the first mark: set ``session.gathered`` if every channel has
    come.

    :param take_early: takes in channels that were accepted before main but belong to it.
    :param concerns: whether a connection whose kind is not known may be one of its channels.
    """
    if session.gathered.is_set() or not session.want_gathered.is_set() or _is_plain(session):
        return
    lobby.accept()
    # also where their number was told: one too many is better noticed before the first mark, for
    # which a destination may wait on its SYNC for good
    if not lobby.settled(concerns):
        return
    take_early()
    if _preempts(session, lobby, roster) or _becomes_plain(session, roster):
        return
    try:
        if not roster.full():
            _lack(session, roster)
            return
        roster.close()
    except MigrationFailed as error:
        session.fail(error)
        return
    session.uuid = roster.uuid or session.uuid
    session.gate.expect(roster.ids)
    session.gathered.set()


def _preempts(session: Session, lobby: Lobby, roster: Roster) -> bool:
    """Fail, and return True, if the source of what would be a plain stream has opened a connection
    that says nothing, beside main: QEMU does so at once for postcopy-preempt with machines up to
    7.2. The destination would wait for it, and from the switch on the guest would stand still at
    both ends."""
    plain = session.plain
    if roster.ids or not (plain.possible and plain.advised):
        return False
    if all(one.origin != session.source for one in lobby.silent()):
        return False
    session.fail(MigrationFailed(PREEMPT))
    return True


def look_for_preempt(session: Session, main: Call, lobby: Lobby) -> None:
    """Called while a migration is under way: as ``_preempts``, of a connection that came only after
    it was known to be a plain stream. QEMU dials it aside, and does not wait for it."""
    plain = session.plain
    own = plain.chosen and not plain.raw and main.visit is None
    if not (own and plain.advised) or plain.postcopy or session.phase is not Phase.CARRYING:
        return
    late = lobby.silent(_PREEMPT_SILENT)
    if any(one.origin == main.origin and one.number > main.number for one in late):
        session.fail(MigrationFailed(PREEMPT))


def _is_plain(session: Session) -> bool:
    """Whether it is known already that no channels belong to it: by a tunnel none come."""
    if session.plain.chosen:
        session.gathered.set()
    return session.plain.chosen


def _becomes_plain(session: Session, roster: Roster) -> bool:
    """Whether no channel has come and none is needed: then all of the migration is on main. If
    their number was told, they are waited for a moment."""
    if not session.plain.possible or roster.ids:
        return False
    if not roster.wanted or session.plain.waited():
        session.plain.choose()
        session.gathered.set()
    return True


def _lack(session: Session, roster: Roster) -> None:
    """:raise MigrationFailed: channels are missing that will not come."""
    if session.missed:
        raise MigrationFailed(
            f"{len(roster.ids)} of {roster.wanted} multifd channels came, and a connection was"
            " closed before it said which it is"
        )

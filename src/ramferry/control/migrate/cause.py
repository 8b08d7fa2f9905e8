"""Which of several complaints about a failed migration names the cause. Pure.

After one lost connection every QEMU and relay complains. The sentence names the complaint nearest
to the cause first, then where the guest is, then the other complaints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ramferry.errors import MigrationFailed, PeerTimeout, PeerUnreachable, RamferryError
from ramferry.transport.plain import nobody_at


class Rank(IntEnum):
    """How near a complaint is to the cause; the lowest is nearest."""

    RELAY_DIED = 0
    """A relay ended without a result: it crashed or was killed."""
    RELAY_FOUND = 1
    """A relay found damaged data, a silent peer, or that this host lacks something."""
    LIBVIRT_LOST = 2
    """A libvirt daemon was lost, whose job this was."""
    FAR_RELAY_UNREACHED = 3
    """The relay that ``--via`` names was not reached, or it is none: nothing has moved."""
    DESTINATION_SAYS = 4
    FAR_RELAY_LOST = 5
    """A relay that this process did not start closed the connection; the QEMU behind it fails of
    that as well."""
    DESTINATION_ENDED = 6
    UNREACHED = 7
    """A relay or the source reached nobody where it was to connect: nothing has moved."""
    RELAY_SAW = 8
    """A relay saw a connection end."""
    DESTINATION_SAW = 9
    """The destination saw a connection end."""
    SOURCE_SAYS = 10


_NOT_REACHED: Final = (Rank.FAR_RELAY_UNREACHED, Rank.UNREACHED)

_NO_CONNECTION: Final = ("Failed to connect to ", nobody_at(""))
"""With one of these begins the error of a source, a QEMU or the built-in guest, if nobody accepts
where it was told to connect."""

_LOST_CONNECTION: Final = (
    "Input/output error",
    "Connection reset",
    "Unable to read",
    "Failed to receive",
    "end-of-file",
    "Broken pipe",
)
"""Words of a QEMU whose connection ended: they say that it ended, not why."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """What one QEMU or relay says: a clause, without a full stop."""

    rank: Rank
    clause: str

    @property
    def words(self) -> str:
        """What it says, without who says it."""
        return self.clause.partition(": ")[2]


def of_words(source: str, destination: str) -> list[Complaint]:
    """The complaints of two QEMUs, from their own words; empty words are none."""
    found = []
    if words := source.rstrip("."):
        rank = Rank.UNREACHED if words.startswith(_NO_CONNECTION) else Rank.SOURCE_SAYS
        found.append(Complaint(rank, f"the source says: {words}"))
    if destination:
        lost = any(one.lower() in destination.lower() for one in _LOST_CONNECTION)
        rank = Rank.DESTINATION_SAW if lost else Rank.DESTINATION_SAYS
        found.append(Complaint(rank, f"the destination says: {destination}"))
    return found


def of_libvirt(words: str, *, gone: bool) -> Complaint:
    """What libvirt says of a job that failed: the cause, or that its QEMU lost a connection.

    :param gone: whether it is said in place of a daemon that was lost.
    """
    if gone:
        return Complaint(Rank.LIBVIRT_LOST, f"libvirt says: {words}")
    lost = any(one.lower() in words.lower() for one in _LOST_CONNECTION)
    return Complaint(Rank.SOURCE_SAYS if lost else Rank.DESTINATION_SAYS, f"libvirt says: {words}")


def of_far_relay(uri: str, complaints: Sequence[Complaint]) -> list[Complaint]:
    """The complaints, and what they mean for a relay that this process did not start.

    :param uri: where that relay is; nothing else is connected to beyond this host.
    """
    found = [
        Complaint(Rank.FAR_RELAY_UNREACHED, _unreached(uri, one.words))
        if one.rank is Rank.UNREACHED
        else one
        for one in complaints
    ]
    if any(one.rank is Rank.RELAY_SAW for one in found):
        lost = f"the relay at {uri} closed the connection, see what it says there"
        found.append(Complaint(Rank.FAR_RELAY_LOST, lost))
    return found


def _unreached(uri: str, words: str) -> str:
    nobody = f"{nobody_at(uri)}: "
    if not words.startswith(nobody):
        return f"the relay that --via names cannot be used: {words}"
    return f"{nobody_at(uri)} (--via), {words.removeprefix(nobody)}: start the relay there"


def failure(complaints: Sequence[Complaint], place: str, *, moved: bool = False) -> RamferryError:
    """The error of a failed migration; see ``failure_sentence``.

    If nobody was reached it is ``PeerUnreachable``, whose sentence leaves out what followed from
    that.

    :param moved: whether the destination has the guest all the same: the error is ``PeerTimeout``.
    """
    if moved:
        return PeerTimeout(failure_sentence(complaints, place))
    lead = min((one.rank for one in complaints), default=None)
    if lead not in _NOT_REACHED:
        return MigrationFailed(failure_sentence(complaints, place))
    telling = [one for one in complaints if one.rank <= Rank.UNREACHED]
    return PeerUnreachable(_sentence(telling, place))


def failure_sentence(complaints: Sequence[Complaint], place: str) -> str:
    """The sentence of a failed migration.

    :param place: the clause that says where the guest is.
    """
    if not complaints:
        return f"the migration failed, and no station says why; {place}"
    return f"the migration failed: {_sentence(complaints, place)}"


def _sentence(complaints: Sequence[Complaint], place: str) -> str:
    """What the complaint nearest to the cause says, the place, and the other complaints."""
    ordered = sorted(complaints, key=lambda complaint: complaint.rank)
    cause, *others = (complaint.clause for complaint in ordered)
    more = f" ({'; '.join(others)})" if others else ""
    return f"{cause}; {place}{more}"

"""Which of several complaints about a failed migration names the cause. Pure.

One lost connection makes every station complain. The one nearest to the cause comes first, then
where the guest is, then the others: a person may need them, but not at first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Rank(IntEnum):
    """How near a complaint is to the cause; the lowest is nearest."""

    RELAY_DIED = 0
    """A relay ended without a word: nothing else ends one so."""
    RELAY_FOUND = 1
    """A relay found damaged data, a silent peer, or this host wanting."""
    DESTINATION_SAYS = 2
    DESTINATION_ENDED = 3
    RELAY_SAW = 4
    """A relay saw a connection end."""
    SOURCE_SAYS = 5


@dataclass(frozen=True, slots=True)
class Complaint:
    """One clause, without a full stop."""

    rank: Rank
    clause: str


def failure_sentence(complaints: Sequence[Complaint], place: str) -> str:
    """The sentence of a failed migration.

    :param place: the clause that says where the guest is.
    """
    ordered = sorted(complaints, key=lambda complaint: complaint.rank)
    if not ordered:
        return f"the migration failed, and no station says why; {place}"
    cause, *others = (complaint.clause for complaint in ordered)
    more = f" ({'; '.join(others)})" if others else ""
    return f"the migration failed: {cause}; {place}{more}"

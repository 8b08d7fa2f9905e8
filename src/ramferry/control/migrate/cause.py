"""Which of several complaints about a failed migration names the cause. Pure.

After one lost connection every QEMU and relay complains. The sentence names the complaint nearest
to the cause first, then where the guest is, then the other complaints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Rank(IntEnum):
    """How near a complaint is to the cause; the lowest is nearest."""

    RELAY_DIED = 0
    """A relay ended without a result: it crashed or was killed."""
    RELAY_FOUND = 1
    """A relay found damaged data, a silent peer, or that this host lacks something."""
    DESTINATION_SAYS = 2
    FAR_RELAY_LOST = 3
    """A relay that this process did not start closed the connection; the QEMU behind it fails of
    that as well."""
    DESTINATION_ENDED = 4
    RELAY_SAW = 5
    """A relay saw a connection end."""
    DESTINATION_SAW = 6
    """The destination saw a connection end."""
    SOURCE_SAYS = 7


_LOST_CONNECTION: Final = (
    "Input/output error",
    "Connection reset",
    "Unable to read",
    "Failed to receive",
    "end-of-file",
    "Broken pipe",
)
"""Words of a QEMU whose connection ended: they say that it ended, not why."""


def rank_of_words(words: str) -> Rank:
    """How near to the cause a destination's own words are."""
    lost = any(one.lower() in words.lower() for one in _LOST_CONNECTION)
    return Rank.DESTINATION_SAW if lost else Rank.DESTINATION_SAYS


@dataclass(frozen=True, slots=True)
class Complaint:
    """What one QEMU or relay says: a clause, without a full stop."""

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

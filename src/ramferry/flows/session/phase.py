"""How far a migration is."""

from __future__ import annotations

from enum import IntEnum

from ramferry.metrics.states import CARRYING, ENDING, GATHERING, SWITCHOVER


class Phase(IntEnum):
    """How far a migration is."""

    GATHERING = 0
    """Not every channel is here; the destination may not be connected yet."""
    CARRYING = 1
    """Rounds of guest memory are carried."""
    SWITCHOVER = 2
    """Ram's END was sent on: the destination may start its guest at any moment."""
    SEALED = 3
    """A receiver's sink has everything and makes it final: it is too late to stop."""
    CONFIRMED = 4
    """The destination's SHUT was delivered to the source."""
    FAILED = 5

    @property
    def word(self) -> str:
        """One of ``metrics.states.STATES``, for those who watch."""
        return _WORDS[self]


_WORDS = {
    Phase.GATHERING: GATHERING,
    Phase.CARRYING: CARRYING,
    Phase.SWITCHOVER: SWITCHOVER,
    Phase.SEALED: SWITCHOVER,
    Phase.CONFIRMED: ENDING,
    Phase.FAILED: ENDING,
}

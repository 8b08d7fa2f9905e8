"""How far a migration is."""

from __future__ import annotations

from enum import IntEnum


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

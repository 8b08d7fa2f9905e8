"""When a migration counts as stalled. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ramferry.control.migrate.rounds import MARGIN, Rounds
from ramferry.units import duration, memory, rate

STALL_SECONDS: Final = 40.0
"""How long what is left may not shrink before the migration counts as stalled."""
STALL_ROUNDS: Final = 2
"""The same, in rounds: one that takes minutes says nothing before its end."""


@dataclass(frozen=True, slots=True)
class Stall:
    """A migration that does not come nearer to its end."""

    seconds: float
    """When it was seen, since the beginning."""
    left_bytes: int
    """What was left then, when a round began."""
    rate: float
    """Bytes of guest memory carried a second."""

    @property
    def still_seconds(self) -> float:
        """Seconds that the guest would stand still if the rest were sent now."""
        return self.left_bytes / self.rate

    def sentence(self, window: float) -> str:
        """What is wrong, as a clause."""
        return (
            f"for {duration(window)} what is left has not become less: {memory(self.left_bytes)},"
            f" {duration(self.still_seconds)} at {rate(self.rate)} of guest memory"
        )


class StallWatch:
    """Gives the verdict on one migration, once."""

    def __init__(self, window: float = STALL_SECONDS) -> None:
        """
        :param window: see ``STALL_SECONDS``.
        """
        self.window = window

    def look(self, now: float, rounds: Rounds, *, another: bool, full: bool) -> Stall | None:
        """The verdict; None as long as it is not due.

        It is due when a round begins, at a local minimum of what is left: with no more, but for
        the margin, than the least of the window.

        :param another: whether a round has just begun, as ``Rounds.take`` returns it.
        :param full: whether QEMU may have the guest stand still as long as was asked for, or that
            would not help.
        """
        seconds, begun = rounds.stands_for(now)
        due = full and seconds >= self.window and begun >= STALL_ROUNDS
        if not due or not another or not rounds.rate:
            return None
        if rounds.begun_with > rounds.least * (1 + MARGIN) and seconds < 2 * self.window:
            return None
        return Stall(now, rounds.begun_with, rounds.rate)

"""How much has left a source's QEMU and has not come out of the last relay. Pure.

QEMU counts a page as sent when a channel's thread has taken it. Zero pages are left out: they weigh
nothing, and up to 8.2 they go by main, where no relay counts them. A relay tells about four times a
second what it has passed on. Between two looks at QEMU its count is taken to grow evenly.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Final

KEPT: Final = 8
"""Looks of which the middle one counts: between rounds less is under way."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the relay that is the farthest of those that tell has passed on."""

    seconds: float
    """When it said so, by the clock of the samples."""
    normal_bytes: int
    """Pages that came with their content, times the page size."""


class InFlight:
    """The bytes under way of one migration."""

    def __init__(self) -> None:
        self._before: tuple[float, int] | None = None
        self._delivered: Delivered | None = None
        self._found: deque[int] = deque(maxlen=KEPT)

    def take(self, seconds: float, carried: int, delivered: Delivered | None) -> None:
        """Take in one look.

        :param carried: bytes of such pages that the source's QEMU counts as sent.
        :param delivered: the relay's latest word; None if it has not told yet, or there is none.
        """
        before, self._before = self._before, (seconds, carried)
        if delivered is None or delivered == self._delivered or before is None:
            return
        then, sent = before
        if not then <= delivered.seconds <= seconds:
            return
        self._delivered = delivered
        share = (delivered.seconds - then) / (seconds - then) if seconds > then else 1.0
        there = sent + share * (carried - sent)
        self._found.append(max(0, round(there - delivered.normal_bytes)))

    @property
    def bytes(self) -> int:
        """Bytes of guest memory under way; 0 if nobody tells."""
        return round(median(self._found)) if self._found else 0

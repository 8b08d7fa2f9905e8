"""Whether the switchover is near, as a relay can tell: by how short the last round was."""

from __future__ import annotations

import time
from typing import Final

from ramferry.flows.session.session import Phase, Session

SHORT: Final = 1.0
"""Seconds of a round after which a QEMU may stop its guest at the next one: what was written
meanwhile is about what its ``downtime-limit`` lets it leave, 0.3 s by default."""
_FIRST: Final = 2
"""Marks that pass before the first round with pages has ended: the setup's, and its own."""


class Nearness:
    """One thread tells it of rounds, another one looks."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rounds = 0
        self._since = time.monotonic()
        self._short = False

    def round_ended(self) -> None:
        """A mark is sent that ends a round of all memory. A QEMU before 8.1 has more marks than
        rounds, of which nothing is told: there only ram's END is a sign."""
        now = time.monotonic()
        self._rounds += 1
        self._short = self._rounds > _FIRST and now - self._since < SHORT
        self._since = now

    def look(self) -> bool:
        """Whether nothing should be changed any more for now."""
        session = self._session
        if session.ending or session.phase > Phase.CARRYING:
            return True
        # a round that lasts is none of the last ones
        return self._short and time.monotonic() - self._since < SHORT

"""Notices a source that ends main in the switchover, before the answer."""

from __future__ import annotations

from typing import Final

from ramferry.flows.session.session import Phase, Session
from ramferry.patience import Patience
from ramferry.transport.connection import Connection

MOMENT: Final = 0.25
"""Seconds in which main's thread, which has sent something, notes that it has: a busy host may have
it stand between the two, and the destination may have read all of it by then."""


class GivenUp:
    """Whether the source has; it goes on with its guest then."""

    def __init__(self, session: Session, source: Connection) -> None:
        """:param source: main's connection."""
        self._session = session
        self._source = source
        self._since: Patience | None = None

    @property
    def now(self) -> bool:
        """Whether it has; a look."""
        session = self._session
        asks = session.phase is Phase.SWITCHOVER and not session.plain.unanswered
        return asks and self._source.hung_up() and session.source_gave_up(0.0)

    @property
    def for_a_moment(self) -> bool:
        """Whether it had already ``MOMENT`` ago; a look of the loop's thread."""
        if self.now:
            # in steps, so that a stand of this process, and so of main's thread, is none
            self._since = self._since or Patience(MOMENT, longest_step=0.05)
            return self._since.over
        return False

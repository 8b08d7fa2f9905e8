"""The time that a source keeps its connections after its migration has failed.

A QEMU whose channels break says "failed" before it has cleaned up. Whoever manages it and changes
its settings in between can make it abort, and its guest is lost. One that is told to cancel while
its connections stand does not risk that. So where the migration fails on the far side, whoever
reads the events is told first, and has this time to cancel at the source.
"""

from __future__ import annotations

from collections.abc import Callable

from ramferry.errors import Cancelled
from ramferry.flows.session.session import Session
from ramferry.patience import Patience


class Respite:
    """The respite of one migration's source; all in the loop's thread."""

    def __init__(self, session: Session, seconds: float, tell: Callable[[str, str], None]) -> None:
        """
        :param seconds: the longest that it lasts; 0: there is none.
        :param tell: called when it begins, with the migration's id and the sentence of its error.
        """
        self._session = session
        self._seconds = seconds
        self._tell = tell
        self._patience: Patience | None = None
        """Counts from its beginning; None before."""

    def lasts(self) -> bool:
        """Whether the connections to the source are to be left as they are for now; called
        repeatedly once the migration is over, until it says False. The first call ends what lies
        behind, as at any end, so that the destination's side does not wait for the source's."""
        if self._patience is None:
            if not self._due:
                return False
            self._patience = Patience(self._seconds)
            self._session.behind.tear_down()
            self._tell(self._session.tally.migration, str(self._session.error))
        return not (self._patience.over or self._source_ended)

    @property
    def _due(self) -> bool:
        """Behind ram's END the source is not told to cancel by this, and whoever has cancelled the
        migration needs not hear of it."""
        session = self._session
        if not self._seconds or not session.failed or session.switched:
            return False
        return not (isinstance(session.error, Cancelled) or self._source_ended)

    @property
    def _source_ended(self) -> bool:
        return self._session.sources[0].hung_up()

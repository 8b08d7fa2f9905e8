"""A guest that is stopped in mid-migration, so that the rest moves, and runs again where it is.

QEMU carries the run state with the guest: one that was stopped at the source stands still where it
arrives. So it is told to run there once it is seen to stand there, or at the source, if the
migration has failed and the destination does not run it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ramferry.control.qemu.end import QemuEnd
from ramferry.control.qemu.status import FINISHING, PAUSED
from ramferry.errors import RamferryError
from ramferry.vocabulary import POSTMIGRATE

RUNNING = "running"
SETTLE_SECONDS: Final = 10.0
"""How long a source whose migration has failed may be about to put its guest back."""


class Pause:
    """The stop of one guest, if it comes to that."""

    def __init__(self, source: QemuEnd, destination: QemuEnd, note: Callable[[str], None]) -> None:
        """Both ends stay the caller's.

        :param note: called with what a person should know.
        """
        self._source, self._destination = source, destination
        self._note = note
        self._since: float | None = None
        self._seen = False
        """Whether the guest was seen to stand still because of that: the state in which it travels
        is then one in which no destination starts it."""
        self.still_ms: int | None = None
        """How long the guest stood still; None if it was not stopped, or does not run again."""

    @property
    def asked(self) -> bool:
        """Whether the source was told to stop its guest, so that it may stand still because of
        that."""
        return self._since is not None

    def begin(self) -> bool:
        """Stop the guest, if it runs; False if it does not, or the source refuses."""
        if self.asked or self._source.run_state() != RUNNING:
            return False
        self._since = time.monotonic()
        try:
            self._source.execute("stop")
        except RamferryError as error:  # it may have heeded that all the same
            self._note(f"the guest was to be stopped for the rest of the migration: {error}")
            return False
        self._seen = self._source.run_state() == PAUSED
        return True

    def arrived(self, state: str | None) -> None:
        """The source has completed, and the destination was seen in ``state``: let it run there."""
        if state == PAUSED and self._go_on(self._destination, "destination"):
            assert self._since is not None
            self.still_ms = round((time.monotonic() - self._since) * 1000)

    def undo(self, far: str | None) -> None:
        """The source's migration has failed: let the guest go on there, unless it may run at the
        destination.

        :param far: the destination's run state; None if it does not answer.
        """
        if not self.asked or far == RUNNING or (far is None and not self._seen):
            return
        # the status is final a moment before the run state is; 7.2 leaves "postmigrate" where the
        # switchover had begun
        state = self._source.settle(lambda state: state != FINISHING, SETTLE_SECONDS)
        if state in (PAUSED, POSTMIGRATE):
            self._go_on(self._source, "source")

    def _go_on(self, end: QemuEnd, side: str) -> bool:
        if not self.asked:
            return False
        try:
            end.execute("cont")
        except RamferryError as error:
            self._note(f"the guest stands still at the {side}, `cont` it there: {error}")
            return False
        return True

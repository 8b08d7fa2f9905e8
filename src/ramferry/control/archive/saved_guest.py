"""The guest of a save: stopped if it has to be, and put back as it was if the save fails."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from ramferry.control.archive.guardian import Guardian
from ramferry.control.qemu.asides import ASIDE_SECONDS
from ramferry.control.qemu.end import GOING_SECONDS, QemuEnd
from ramferry.control.qemu.status import FINISHING, GONE, IDLE, Phase, phase_of, whereabouts
from ramferry.errors import PeerUnreachable, RamferryError
from ramferry.patience import Patience

CANCEL_SECONDS = 15.0
"""How long a QEMU may take to end a migration after its far end has gone."""


class SavedGuest:
    """One guest, from the save's beginning to its end."""

    def __init__(self, source: QemuEnd, guardian: Guardian | None, insist: threading.Event) -> None:
        """
        :param guardian: lets the guest go on if the save is killed; None if the guest never stands
            still before the save's end.
        :param insist: set it to wait no longer for a QEMU whose monitor is lost.
        """
        self._insist = insist
        self._source = source
        self._guardian = guardian
        self.since: float | None = None
        """When it was stopped, in seconds of ``time.monotonic``; None if it was not."""
        self.cancelled = False
        """True once the QEMU was told to cancel."""

    @property
    def before(self) -> str:
        """Its run state when the save began."""
        return self._source.facts.run_state

    def find(self) -> str | None:
        """Its run state, over a new connection if the old one was lost.

        :return: None if the QEMU does not answer, ``GONE`` if it has ended.
        """
        return self._source.find(Patience(GOING_SECONDS, longest_step=ASIDE_SECONDS), self._insist)

    def stop(self) -> bool:
        """Stop it; return False if it stands still already.

        :raise RamferryError: QEMU refuses, or does not answer.
        """
        if self.since is not None or self._source.run_state() != "running":
            return False
        assert self._guardian is not None
        self._guardian.tell_stopped()
        self.since = time.monotonic()
        self._source.execute("stop")
        return True

    def cancel(self) -> None:
        """Cancel its migration; a second call does nothing.

        :raise RamferryError: QEMU refuses, or does not answer.
        """
        if not self.cancelled:
            self.cancelled = True
            self._source.execute("migrate_cancel")

    def settle(self) -> None:
        """Wait for the QEMU's migration to end; if it waits before the switchover, cancel it.

        While it waits there it does not notice lost connections. Its status is final a moment
        before its run state is, and ``cont`` is refused in between.

        :raise RamferryError: it does not answer.
        """
        self._source.settle(
            lambda _: self._ended() and self._source.run_state() != FINISHING, CANCEL_SECONDS
        )

    def _ended(self) -> bool:
        status = str(self._source.execute("query-migrate").get("status", "none"))
        if phase_of(status) is Phase.PAUSED:
            self.cancelled = True
            self._source.execute("migrate_cancel")
        return status in IDLE

    def undo(self) -> None:
        """After the save failed, put the guest back as it was.

        :raise RamferryError: QEMU refuses, or does not answer.
        """
        self.settle()
        left = self.before == "running" and self._source.run_state() == "postmigrate"
        if self.since is not None or left:
            self._source.execute("cont")  # there is no other place where it could run
            self.since = None

    def place(self) -> str:
        """Call ``undo``, and return a clause that says where the guest was seen."""
        state = self.find()
        if state not in (None, GONE):
            with suppress(RamferryError):  # the state tells what became of it
                self.undo()
            state = self.find()
        if state == GONE:
            return "the guest ended with its QEMU"
        if state is not None:
            return whereabouts(self.before, state, GONE)
        stopped = " (it was stopped for the save)" if self.since is not None else ""
        return f"the QEMU does not answer: see with `info status` whether its guest runs{stopped}"

    def lost(self) -> PeerUnreachable | None:
        """An error if the QEMU cannot be reached any more; None if it can."""
        if self._source.connected:
            return None
        state = self.find()
        if state == GONE:
            return PeerUnreachable("the QEMU ended while its guest was saved")
        if state is None:
            return PeerUnreachable("the QEMU closed its monitor while its guest was saved")
        return None
